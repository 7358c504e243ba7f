package managers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/manager"
)

var key = []byte("what all programs know")

// serve has a server of its own for a test, and returns where it is.
func serve(t *testing.T, s *manager.Server) net.Addr {
	t.Helper()
	s.AuthKey = key
	l, err := manager.Listen(filepath.Join(t.TempDir(), "manager"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-done); !errors.Is(err, manager.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr()
}

// change is what each of the ten does: it is another client, as another process
// is.
func change(ctx context.Context, address string, i int) error {
	c, err := manager.Dial(ctx, address, manager.DialOptions{AuthKey: key})
	if err != nil {
		return err
	}
	defer c.Close()
	dict, err := c.Create(ctx, "squares") // Manager().dict(), handed to each process
	if err != nil {
		return err
	}
	list, err := c.Create(ctx, "arrivals")
	if err != nil {
		return err
	}
	return errors.Join(
		manager.DictOf[string, int](dict).Set(ctx, fmt.Sprint("n", i), i*i),
		manager.ListOf[int](list).Append(ctx, i),
	)
}

// P06: a managed dict and list are changed by ten programs; all changes are
// there.
func TestManagedDictAndList(t *testing.T) {
	ctx := t.Context()
	address := serve(t, &manager.Server{Objects: []manager.Object{
		{Name: "squares", Type: "dict"}, {Name: "arrivals", Type: "list"},
	}}).String()

	var ten tristrand.Group
	for i := range 10 {
		ten.Go(ctx, func(ctx context.Context) error { return change(ctx, address, i) })
	}
	if err := ten.Wait(ctx); err != nil {
		t.Fatal(err)
	}

	c, err := manager.Dial(ctx, address, manager.DialOptions{AuthKey: key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dict, err1 := c.Create(ctx, "squares")
	list, err2 := c.Create(ctx, "arrivals")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	squares, err := manager.DictOf[string, int](dict).Copy(ctx)
	if err != nil || len(squares) != 10 || squares["n7"] != 49 {
		t.Errorf("the dict is %v, %v", squares, err)
	}
	arrivals := manager.ListOf[int](list)
	if err := arrivals.Sort(ctx); err != nil {
		t.Fatal(err)
	}
	if items, err := arrivals.Items(ctx); err != nil || fmt.Sprint(items) != "[0 1 2 3 4 5 6 7 8 9]" {
		t.Errorf("the list is %v, %v", items, err)
	}
}
