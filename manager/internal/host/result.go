package host

import (
	"context"
	"errors"
	"sync"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// result is what an asynchronous call of a pool returns.
type result struct{ b *batch }

func (o *result) Call(c *Call, method string) (any, error) {
	switch method {
	case "ready":
		return o.b.done(), c.none(method)
	case "successful":
		if !o.b.done() {
			return nil, valueError("the result is not ready")
		}
		_, err := o.b.result(context.Background()) // all are done
		return err == nil, c.none(method)
	case "get", "wait":
		args, err := c.bind(method, 0, "timeout")
		if err != nil {
			return nil, err
		}
		p, err := timeout(args[0])
		if err != nil {
			return nil, err
		}
		return o.wait(c, p, method)
	default:
		return nil, ErrNoMethod
	}
}

func (o *result) wait(c *Call, p patience, method string) (any, error) {
	if !o.b.done() && p.block {
		ctx, _, err := c.Wait()
		if err != nil {
			return nil, err
		}
		if !p.forever {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, p.d)
			defer cancel()
		}
		if err := o.b.wait(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
	}
	if method == "wait" {
		return nil, nil
	}
	if !o.b.done() {
		return nil, &PythonError{Type: pickle.Global{Module: "multiprocessing.context", Name: "TimeoutError"}}
	}
	return o.b.result(context.Background()) // all are done
}

func (o *result) Repr(int) string { return "<multiprocessing.pool.AsyncResult object>" }

func (o *result) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'multiprocessing.pool.AsyncResult' object"}
}

// results is what imap returns: the outcomes in order or, with ready, as they
// come.
type results struct {
	b     *batch
	ready *local.Queue[*tristrand.Future[Yield]]

	mu   sync.Mutex
	next int
}

// follow puts every call that has been handed over into ready when it is done.
func (o *results) follow() {
	o.b.mu.Lock()
	futures, refused := o.b.futures, o.b.refused
	if refused != nil { // the rest will not come
		o.b.total = len(futures)
	}
	o.b.mu.Unlock()
	for _, f := range futures {
		f.OnDone(func(f *tristrand.Future[Yield]) {
			if err := o.ready.TryPut(context.Background(), f); err != nil {
				tristrand.Report(context.Background(), err) // it has no bound
			}
		})
	}
}

func (o *results) Call(c *Call, method string) (any, error) {
	switch method {
	case "__next__":
	case "send", "throw", "close":
		return nil, exception("AttributeError", "'IMapIterator' object has no attribute '%s'", method)
	default:
		return nil, ErrNoMethod
	}
	if err := c.none(method); err != nil {
		return nil, err
	}
	ctx, _, err := c.Wait()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	i := o.next
	o.next++
	o.mu.Unlock()
	o.b.mu.Lock()
	total := o.b.total
	o.b.mu.Unlock()
	if i >= total {
		return nil, Builtin("StopIteration")
	}
	if o.ready != nil {
		f, err := o.ready.Get(ctx)
		if err != nil {
			return nil, err
		}
		return outcome(ctx, f)
	}
	f, err := o.b.await(ctx, i)
	if err != nil {
		return nil, err
	}
	return outcome(ctx, f)
}

func (o *results) Repr(int) string { return "<multiprocessing.pool.IMapIterator object>" }

func (o *results) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'IMapIterator' object"}
}
