package manager

import (
	"context"
	"fmt"
	"strings"

	"github.com/tristrand/tristrand/internal/pickle"
)

// A Pool runs functions by name on a server: see Server.Functions.
type Pool struct{ base }

// NewPool makes a pool of so many workers; 0 is the server's default.
func NewPool(ctx context.Context, c *Client, workers int) (*Pool, error) {
	if workers == 0 {
		return wrap(PoolOf)(c.Create(ctx, "Pool"))
	}
	return wrap(PoolOf)(c.Create(ctx, "Pool", workers))
}

// PoolOf makes a Pool of a proxy for one.
func PoolOf(p *Proxy) *Pool { return &Pool{base{p}} }

// function is how Python names it.
func function(name string) (pickle.Global, error) {
	i := strings.LastIndexByte(name, '.')
	if i < 1 || i == len(name)-1 {
		return pickle.Global{}, fmt.Errorf("manager: function %q: want module.name", name)
	}
	return pickle.Global{Module: name[:i], Name: name[i+1:]}, nil
}

// Apply calls a function, "module.name", and waits for its result.
func (p *Pool) Apply(ctx context.Context, name string, args ...any) (any, error) {
	f, err := function(name)
	if err != nil {
		return nil, err
	}
	in, err := arguments(args)
	if err != nil {
		return nil, err
	}
	return p.p.Call(ctx, "apply", f, in)
}

// Map calls a function with each of the inputs, several at a time, and waits for
// all results, which are in order. The first error is that of all.
func (p *Pool) Map(ctx context.Context, name string, inputs ...any) ([]any, error) {
	f, err := function(name)
	if err != nil {
		return nil, err
	}
	v, err := p.p.Call(ctx, "map", f, append([]any{}, inputs...))
	if err != nil {
		return nil, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("manager: map answered %T", v)
	}
	return items, nil
}
