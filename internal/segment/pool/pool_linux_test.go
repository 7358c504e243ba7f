package pool_test

import (
	"sync"
	"testing"
	"time"

	"github.com/tristrand/tristrand/internal/segment"
	"github.com/tristrand/tristrand/internal/segment/pool"
)

func get(t *testing.T, p *pool.Pool, n int) *segment.Segment {
	t.Helper()
	s, err := p.Get(n)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() < n+pool.TailBytes || len(pool.Tail(s)) != pool.TailBytes {
		t.Fatalf("for %d bytes came a segment of %d", n, s.Size())
	}
	return s
}

// keeps checks what the pool keeps.
func keeps(t *testing.T, p *pool.Pool, want ...*segment.Segment) {
	t.Helper()
	bytes := 0
	for _, s := range want {
		bytes += s.Size()
	}
	if n, b := p.Kept(); n != len(want) || b != bytes {
		t.Errorf("%d segments of %d bytes are kept, want %d of %d", n, b, len(want), bytes)
	}
}

func TestClasses(t *testing.T) {
	for n := 0; n < 1<<30; n += n/7 + 1 {
		c := pool.Class(n)
		if c < n || c%4096 != 0 || c > max(4096, n+n/8+4096) {
			t.Errorf("Class(%d) is %d", n, c)
		}
		if pool.Class(c) != c {
			t.Errorf("Class(%d) is %d: a class is its own", c, pool.Class(c))
		}
	}
	if c := pool.Class(64 << 20); c != 64<<20 {
		t.Errorf("Class(64 MiB) is %d", c)
	}
}

func TestWhatIsPutComesAgain(t *testing.T) {
	var p pool.Pool
	defer p.Trim()
	a, b := get(t, &p, 1<<20), get(t, &p, 1<<20)
	if a == b {
		t.Fatal("one segment for two")
	}
	p.Put(a)
	p.Put(b)
	keeps(t, &p, a, b)
	small := get(t, &p, 1<<18)
	p.Put(small)
	if got := get(t, &p, 1<<20); got != b {
		t.Error("the one put last did not come first")
	}
	if got := get(t, &p, 900<<10); got != a {
		t.Error("one a little larger than needed was left")
	}
	keeps(t, &p, small)
	p.Put(a)
	p.Put(b)
}

func TestLentOnesComeWhenTheyAreFree(t *testing.T) {
	var p pool.Pool
	defer p.Trim()
	s := get(t, &p, 4096)
	free := false
	claim := func() bool { return free }
	p.Lend(s, claim)
	p.Lend(s, claim) // again is once
	s.Release()
	keeps(t, &p, s)
	other := get(t, &p, 4096)
	if other == s {
		t.Fatal("it was given while it was in use")
	}
	other.Release()
	free = true
	if got := get(t, &p, 4096); got != s {
		t.Error("it was free and not given")
	}
	keeps(t, &p)
	s.Release()
	if segment.Lookup(s.Key()) != nil {
		t.Error("a reference was leaked")
	}
}

func TestTheBoundHolds(t *testing.T) {
	p := pool.Pool{MaxBytes: 3 << 20}
	defer p.Trim()
	var all []*segment.Segment
	for range 4 {
		all = append(all, get(t, &p, 900<<10))
	}
	for _, s := range all {
		p.Put(s)
	}
	keeps(t, &p, all[1:]...)
	if segment.Lookup(all[0].Key()) != nil {
		t.Error("the oldest is still open")
	}
	none := pool.Pool{MaxBytes: -1}
	s := get(t, &none, 4096)
	none.Put(s)
	keeps(t, &none)
}

func TestIdleOnesAreClosed(t *testing.T) {
	p := pool.Pool{Idle: time.Millisecond}
	a, b := get(t, &p, 4096), get(t, &p, 8192)
	p.Put(a)
	p.Lend(b, func() bool { return false })
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if n, _ := p.Kept(); n == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("after a minute %d are kept", n)
		}
	}
	if s := segment.Lookup(b.Key()); s != b {
		t.Fatal("the lent one was taken from its user")
	}
	b.Release()
	b.Release()
	c := get(t, &p, 4096) // and the next one is kept and swept as well
	p.Put(c)
	for end := time.Now().Add(time.Minute); segment.Lookup(c.Key()) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second one was not swept in a minute")
		}
		c.Release() // Lookup's
	}
}

func TestManyAtOnce(t *testing.T) {
	n0, _ := segment.Count()
	p := pool.Pool{MaxBytes: 1 << 20, Idle: time.Millisecond}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 300 {
				s, err := p.Get(4096 << (i % 5))
				if err != nil {
					t.Error(err)
					return
				}
				tail := pool.Tail(s)
				tail[0] = byte(g)
				if i%3 == 0 {
					p.Lend(s, func() bool { return true })
					s.Release()
					continue
				}
				if tail[0] != byte(g) {
					t.Error("two had the same segment")
				}
				p.Put(s)
			}
		})
	}
	wg.Wait()
	p.Trim()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // a sweep may be giving some up
		if n, _ := segment.Count(); n == n0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d segments are left over", n-n0)
		}
	}
}
