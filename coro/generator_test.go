package coro_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/coro"
)

type none = struct{}

func count(n int) *coro.Generator[string, int] {
	return coro.NewGenerator(func(yield func(int) (string, error)) error {
		for i := range n {
			if _, err := yield(i); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestGeneratorGivesItsValuesInOrder(t *testing.T) {
	var got []int
	for v, err := range count(5).All() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("got %v", got)
	}
	if values := slices.Collect(count(5).Values()); !slices.Equal(values, got) {
		t.Errorf("Values gives %v", values)
	}
	g := count(1)
	if v, err := g.Next(); v != 0 || err != nil {
		t.Errorf("got %v, %v", v, err)
	}
	for range 2 {
		if _, err := g.Next(); !errors.Is(err, coro.ErrDone) {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestGeneratorIsSentValuesAndErrors(t *testing.T) {
	boom := errors.New("boom")
	g := coro.NewGenerator(func(yield func(string) (int, error)) error {
		sum := 0
		for {
			v, err := yield(fmt.Sprint("sum ", sum))
			if err != nil {
				if _, err := yield("caught"); err != nil {
					return err
				}
			}
			sum += v
		}
	})
	if _, err := g.Send(1); !errors.Is(err, coro.ErrUnprimed) {
		t.Errorf("Send before Next: %v", err)
	}
	for _, step := range []struct {
		call func() (string, error)
		want string
	}{
		{g.Next, "sum 0"},
		{func() (string, error) { return g.Send(3) }, "sum 3"},
		{func() (string, error) { return g.Send(4) }, "sum 7"},
		{func() (string, error) { return g.Throw(boom) }, "caught"},
		{g.Next, "sum 7"},
	} {
		if got, err := step.call(); got != step.want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, step.want)
		}
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := g.Next(); !errors.Is(err, coro.ErrDone) {
		t.Errorf("after Close: %v", err)
	}
}

func TestGeneratorsThatEndBadly(t *testing.T) {
	boom := errors.New("boom")
	ends := func(fn func(yield func(none) (none, error)) error) error {
		_, err := coro.NewGenerator(fn).Next()
		return err
	}
	var pe *tristrand.PanicError
	if err := ends(func(func(none) (none, error)) error { panic(boom) }); !errors.As(err, &pe) || !errors.Is(err, boom) {
		t.Errorf("a panic: %v", err)
	}
	if err := ends(func(func(none) (none, error)) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("an error: %v", err)
	}
	if err := ends(func(func(none) (none, error)) error { runtime.Goexit(); return nil }); !errors.Is(err, tristrand.ErrGoexit) {
		t.Errorf("Goexit: %v", err)
	}
	var g *coro.Generator[none, none]
	g = coro.NewGenerator(func(func(none) (none, error)) error {
		_, err := g.Next()
		return err
	})
	if _, err := g.Next(); !errors.Is(err, coro.ErrBusy) {
		t.Errorf("called by itself: %v", err)
	}
	if _, err := count(3).Throw(boom); !errors.Is(err, boom) {
		t.Errorf("Throw before the first Next: %v", err)
	}
}

func TestGeneratorsThatAreLeftEarly(t *testing.T) {
	before := runtime.NumGoroutine()
	cleaned := 0
	for range 10 {
		g := coro.NewGenerator(func(yield func(int) (int, error)) error {
			defer func() { cleaned++ }()
			for { // minds no error
				_, _ = yield(1)
			}
		})
		for range g.All() {
			break
		}
	}
	if cleaned != 10 {
		t.Errorf("%d of 10 ran their deferred functions", cleaned)
	}
	poll(t, "the end of the stacks", func() bool { return runtime.NumGoroutine() <= before })
}

func TestGeneratorOnALockedThread(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, err := count(1).Next()
		done <- err
	}()
	if err := <-done; !errors.Is(err, coro.ErrThreadLocked) {
		t.Errorf("got %v", err)
	}
	g := coro.NewGenerator(func(yield func(int) (int, error)) error {
		runtime.LockOSThread()
		_, err := yield(1)
		runtime.UnlockOSThread()
		return err
	})
	if _, err := g.Next(); !errors.Is(err, coro.ErrThreadLocked) {
		t.Errorf("a yield while locked: %v", err)
	}
}

func TestGeneratorWithoutAPlaceForItsErrorPanicsWithIt(t *testing.T) {
	boom := errors.New("boom")
	g := coro.NewGenerator(func(yield func(int) (int, error)) error { return boom })
	defer func() {
		if v := recover(); v == nil || !errors.Is(v.(error), boom) {
			t.Errorf("Values panics with %v", v)
		}
	}()
	for range g.Values() {
		t.Error("it has a value")
	}
}

func TestGeneratorsLeftInAHubAreEndedAndNamed(t *testing.T) {
	var mu sync.Mutex
	var reports []error
	tristrand.OnReport(func(_ context.Context, err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, err)
	})
	defer tristrand.OnReport(nil)
	ended := []string{}
	begun := func(name string) *coro.Generator[none, int] {
		return coro.NewGenerator(func(yield func(int) (none, error)) error {
			defer func() { ended = append(ended, name) }()
			for i := 0; ; i++ {
				if _, err := yield(i); err != nil {
					return err
				}
			}
		})
	}
	var kept *coro.Generator[none, int]
	run(t, func(ctx context.Context) error {
		kept = begun("first")
		read := begun("read")
		for _, g := range []*coro.Generator[none, int]{kept, read, begun("last")} {
			if _, err := g.Next(); err != nil {
				t.Error(err)
			}
		}
		elsewhere := make(chan error)
		go func() { _, err := kept.Next(); elsewhere <- err }()
		if err := <-elsewhere; !errors.Is(err, coro.ErrElsewhere) {
			t.Errorf("from a goroutine: %v", err)
		}
		return read.Close()
	})
	if want := []string{"read", "first", "last"}; !slices.Equal(ended, want) {
		t.Errorf("ended: %q", ended)
	}
	if left := new(coro.LeftError); len(reports) != 1 || !errors.As(reports[0], &left) || len(left.Left) != 2 ||
		!strings.Contains(left.Left[0], "main") {
		t.Errorf("reported: %v", reports)
	}
	if _, err := kept.Next(); !errors.Is(err, coro.ErrDone) {
		t.Errorf("after the hub: %v", err)
	}
}
