package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/local"
)

// The methods of a pool and of the result of an asynchronous call that clients
// may call.
var (
	PoolMethods = []string{
		"apply", "apply_async", "close", "imap", "imap_unordered", "join", "map", "map_async", "starmap",
		"starmap_async", "terminate", "apply_async", "imap", "imap_unordered", "map_async", "starmap_async",
	}
	ResultMethods = []string{"get", "ready", "successful", "wait"}
)

// maxWorkers bounds the pools that clients ask for.
const maxWorkers = 1024

// Pool is a shared pool: it runs functions by name on an executor.
type Pool struct {
	engine *Engine
	ex     tristrand.Executor
	own    bool
	ctx    context.Context //nolint:containedctx // the jobs': it ends with the pool
	cancel context.CancelFunc
	closed atomic.Bool
	end    sync.Once
	wg     sync.WaitGroup // calls that are being handed over
}

// NewPool returns how pools are made.
func NewPool(g *Engine) func(c *Call) (Object, error) {
	return func(c *Call) (Object, error) {
		args, err := c.bind("Pool", 0, "processes", "initializer", "initargs", "maxtasksperchild")
		if err != nil {
			return nil, err
		}
		n := int64(0)
		if given(args[0]) && args[0] != nil {
			if n, err = integer(args[0]); err != nil {
				return nil, err
			}
			if n < 1 {
				return nil, valueError("Number of processes must be at least 1")
			}
			if n > maxWorkers {
				return nil, valueError("Number of processes must be at most %d", maxWorkers)
			}
		}
		if given(args[1]) && args[1] != nil {
			return nil, typeError("a pool of this server has no initializer: functions are run by name only")
		}
		o := &Pool{engine: g}
		o.ctx, o.cancel = context.WithCancel(context.Background())
		o.ex, o.own = g.Open(int(n))
		return o, nil
	}
}

// Call calls a method.
func (o *Pool) Call(c *Call, method string) (any, error) {
	switch method {
	case "close":
		o.closed.Store(true)
		return nil, c.none(method)
	case "terminate":
		o.Dropped()
		return nil, c.none(method)
	case "join":
		return nil, o.join(c)
	case "apply", "apply_async":
		return o.apply(c, method)
	case "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered":
		return o.many(c, method)
	default:
		return nil, ErrNoMethod
	}
}

// Dropped ends the pool at once: nobody refers to it any more.
func (o *Pool) Dropped() {
	o.closed.Store(true)
	o.end.Do(func() {
		o.cancel()
		o.wg.Wait()
		if o.own {
			if err := o.ex.Terminate(); err != nil {
				tristrand.Report(context.Background(), fmt.Errorf("manager: ending a pool: %w", err))
			}
		}
	})
}

func (o *Pool) join(c *Call) error {
	if err := c.none("join"); err != nil {
		return err
	}
	if !o.closed.Load() {
		return valueError("Pool is still running")
	}
	ctx, _, err := c.Wait()
	if err != nil || !o.own {
		return err
	}
	err = o.ex.Close(ctx)
	var left *tristrand.CloseError
	if errors.As(err, &left) && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

func (o *Pool) running() error {
	if o.closed.Load() {
		return valueError("Pool not running")
	}
	return nil
}

// name returns the function that a call names.
func (o *Pool) name(v any) (string, error) {
	g, ok := v.(pickle.Global)
	if !ok {
		return "", typeError("'%s' object is not callable", pickle.TypeName(v))
	}
	if !o.engine.Knows(g.String()) {
		return "", typeError("%s is not a function that this server runs", g)
	}
	return g.String(), nil
}

// a job is one call to come.
type job struct {
	args pickle.Tuple
	kwds *pickle.Dict
}

// start hands jobs to the executor, in the background: it may have no room.
func (o *Pool) start(name string, jobs []job, single bool) *batch {
	b := &batch{single: single, total: len(jobs)}
	first := make(chan struct{}) // a batch of one is handed over when start returns
	o.wg.Go(func() {
		defer close(first)
		o.hand(b, name, jobs)
	})
	if single {
		<-first
	}
	return b
}

func (o *Pool) hand(b *batch, name string, jobs []job) {
	for _, j := range jobs {
		f, err := o.engine.submit(o.ctx, o.ex, name, j.args, j.kwds)
		b.add(f, err)
		if err != nil {
			return
		}
	}
}

func (o *Pool) apply(c *Call, method string) (any, error) {
	args, err := c.bind(method, 1, "func", "args", "kwds", "callback", "error_callback")
	if err != nil {
		return nil, err
	}
	if err := o.running(); err != nil {
		return nil, err
	}
	name, err := o.name(args[0])
	if err != nil {
		return nil, err
	}
	var j job
	if given(args[1]) {
		if j.args, err = pickle.Iterate(args[1]); err != nil {
			return nil, err
		}
	}
	if given(args[2]) && args[2] != nil {
		var ok bool
		if j.kwds, ok = args[2].(*pickle.Dict); !ok {
			return nil, typeError("kwds must be a dict, not %s", pickle.TypeName(args[2]))
		}
	}
	if method == "apply_async" {
		return Created{"AsyncResult", &result{o.start(name, []job{j}, true)}}, nil
	}
	ctx, _, err := c.Wait()
	if err != nil {
		return nil, err
	}
	return o.start(name, []job{j}, true).result(ctx)
}

func (o *Pool) many(c *Call, method string) (any, error) {
	args, err := c.bind(method, 2, "func", "iterable", "chunksize", "callback", "error_callback")
	if err != nil {
		return nil, err
	}
	if err := o.running(); err != nil {
		return nil, err
	}
	name, err := o.name(args[0])
	if err != nil {
		return nil, err
	}
	items, err := pickle.Iterate(args[1])
	if err != nil {
		return nil, err
	}
	if given(args[2]) && args[2] != nil {
		if n, err := integer(args[2]); err != nil || n < 1 {
			return nil, valueError("Chunksize must be 1+, not %s", pickle.Repr(args[2], 50))
		}
	}
	jobs := make([]job, len(items))
	for i, x := range items {
		jobs[i].args = pickle.Tuple{x}
		if strings.HasPrefix(method, "starmap") {
			if jobs[i].args, err = pickle.Iterate(x); err != nil {
				return nil, err
			}
		}
	}
	switch method {
	case "map", "starmap":
		ctx, _, err := c.Wait()
		if err != nil {
			return nil, err
		}
		return o.start(name, jobs, false).result(ctx)
	case "imap":
		return Created{"Iterator", &results{b: o.start(name, jobs, false)}}, nil
	case "imap_unordered":
		it := &results{b: &batch{total: len(jobs)}, ready: local.NewQueue[*tristrand.Future[Yield]](0)}
		o.wg.Go(func() {
			o.hand(it.b, name, jobs)
			it.follow()
		})
		return Created{"Iterator", it}, nil
	default:
		return Created{"AsyncResult", &result{o.start(name, jobs, false)}}, nil
	}
}

// Repr prints it.
func (o *Pool) Repr(int) string {
	st := o.ex.Stats()
	state := "RUN"
	if o.closed.Load() {
		state = "CLOSE"
	}
	return fmt.Sprintf("<multiprocessing.pool.Pool state=%s pool_size=%d, %d queued>", state, st.Workers, st.Queued)
}

// Value says that a pool cannot be sent.
func (o *Pool) Value() (any, error) {
	return nil, &pickle.WriteError{What: "'multiprocessing.pool.Pool' object"}
}
