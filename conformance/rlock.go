package conformance

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// RLock checks a lock that its holder can acquire again.
func RLock(t *testing.T, mk LockMaker, o Options) {
	t.Helper()
	runRules(t, append(lockerRules(), rlockRules()...), mk, o)
}

func rlockRules() []rule[LockMaker] {
	rules := []rule[LockMaker]{
		{"it nests, and is released as often", "its holder may acquire it again", anyWorld, rlockNests},
		{"TryAcquire and Recover nest too", "its holder may acquire it again", anyWorld, rlockTryNests},
		{"others wait until the last level is released", "a lock is held by one strand at a time", anyWorld, rlockOthers},
		{"one release too many is refused, also after balanced use", "ErrNotHeld, and the state is unchanged", anyWorld, rlockOverRelease},
		{"a stranger releases no level", "only the owner releases", anyWorld, rlockStranger},
		{"a holder that ends leaves no levels behind", "Recover takes it, once", anyWorld, rlockOwnerDied},
		{"a nameless goroutine owns nothing re-entrantly", "a nameless caller may lock, it owns nothing re-entrantly, and it is never called a deadlock", openWorld, rlockNameless},
	}
	return append(rules, lockerTroubleRules()...)
}

func rlockNests(ctx context.Context, r *run, mk LockMaker) {
	l, depth := mk(ctx, r), 5
	for range 2 {
		for d := range depth {
			r.must(l.Acquire(ctx), "Acquire")
			r.isMine(ctx, l, d+1)
		}
		for d := range depth {
			r.isMine(ctx, l, depth-d)
			r.must(l.Release(ctx), "Release")
		}
		r.isFree(ctx, l)
	}
}

func rlockTryNests(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	for d, acquire := range []func(context.Context) error{l.TryAcquire, l.TryAcquire, l.Recover, l.Acquire, l.TryAcquire} {
		r.must(acquire(ctx), "acquiring again")
		r.isMine(ctx, l, d+1)
	}
	r.joinAll(ctx, r.start(ctx, "other", func(ctx context.Context) error {
		r.is(l.TryAcquire(ctx), "TryAcquire by another", tristrand.ErrBusy)
		return nil
	}))
	for range 5 {
		r.must(l.Release(ctx), "Release")
	}
	r.isFree(ctx, l)
}

func rlockOthers(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	for range 3 {
		r.must(l.Acquire(ctx), "Acquire")
	}
	passed := false
	p := r.start(ctx, "other", func(ctx context.Context) error {
		if err := l.Acquire(ctx); err != nil {
			return err
		}
		r.isMine(ctx, l, 1)
		passed = true
		return l.Release(ctx)
	})
	r.untilWaiting(ctx, l, 1)
	for range 2 {
		r.must(l.Release(ctx), "Release")
		r.settle(ctx)
		if st := r.lockState(ctx, l); passed || st.Waiting != 1 {
			r.Errorf("with levels left the state is %s", describeLock(st))
		}
	}
	// The holder goes first, although another waits: it has the lock.
	r.must(l.Acquire(ctx), "Acquire while another waits")
	r.must(l.Release(ctx), "Release")
	r.must(l.Release(ctx), "the last Release")
	r.joinAll(ctx, p)
	r.isFree(ctx, l)
}

func rlockOverRelease(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.is(l.Release(ctx), "Release of a free lock", tristrand.ErrNotHeld)
	for range 3 {
		r.must(l.Acquire(ctx), "Acquire")
	}
	for range 3 {
		r.must(l.Release(ctx), "Release")
	}
	r.is(l.Release(ctx), "Release once too often", tristrand.ErrNotHeld)
	r.isFree(ctx, l)
	r.must(l.Acquire(ctx), "Acquire afterwards")
	r.isMine(ctx, l, 1)
	r.must(l.Release(ctx), "Release")
}

func rlockStranger(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.must(l.Acquire(ctx), "Acquire")
	r.must(l.Acquire(ctx), "Acquire")
	r.joinAll(ctx, r.start(ctx, "stranger", func(ctx context.Context) error {
		r.is(l.Release(ctx), "Release by a stranger", tristrand.ErrNotHeld)
		return nil
	}))
	r.isMine(ctx, l, 2)
	r.must(l.Release(ctx), "Release")
	r.must(l.Release(ctx), "Release")
}

func rlockOwnerDied(ctx context.Context, r *run, mk LockMaker) {
	l := mk(ctx, r)
	r.joinAll(ctx, r.start(ctx, "owner", func(ctx context.Context) error {
		for range 3 {
			r.must(l.Acquire(ctx), "Acquire")
		}
		return nil
	}))
	r.until(ctx, "the owner is over", func() bool { return r.lockState(ctx, l).OwnerDied })
	r.is(l.Acquire(ctx), "Acquire", tristrand.ErrOwnerDied)
	r.must(l.Recover(ctx), "Recover")
	r.isMine(ctx, l, 1)
	r.must(l.Acquire(ctx), "Acquire again")
	r.isMine(ctx, l, 2)
	r.must(l.Release(ctx), "Release")
	r.must(l.Release(ctx), "Release")
	r.isFree(ctx, l)
}

func rlockNameless(ctx context.Context, r *run, mk LockMaker) {
	for name, ctx2 := range map[string]context.Context{"a borrowed ctx": ctx, "no strand's ctx": context.Background()} {
		l := mk(ctx, r)
		var done atomic.Bool
		go func() {
			defer done.Store(true)
			if err := l.Acquire(ctx2); err != nil {
				r.Errorf("%s: Acquire: %v", name, err)
				return
			}
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx2), shortly)
			defer cancel()
			err := l.Acquire(short)
			r.is(err, fmt.Sprintf("Acquire again with %s", name), context.DeadlineExceeded)
			if _, ok := err.(*strand.DeadlockError); ok { //nolint:errorlint // not even inside another
				r.Errorf("%s: called a deadlock: %v", name, err)
			}
			if err := l.Release(ctx2); err != nil {
				r.Errorf("%s: Release: %v", name, err)
			}
		}()
		r.until(ctx, "the goroutine is done", done.Load)
		r.isFree(ctx, l)
	}
}
