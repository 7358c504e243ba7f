package manager

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
	"github.com/tristrand/tristrand/strand"
)

// A Proxy is a reference to an object on the server. The typed ones, Dict and so
// on, are made of it: DictOf.
//
// It may be an argument, or a part of one: then the object gets a reference to
// that object.
type Proxy struct {
	c       *Client
	typeid  string
	id      string
	ident   any // id
	class   pickle.Global
	exposed []string
	cleanup runtime.Cleanup
}

// standardProxies are the classes of Python's proxies.
var standardProxies = func() map[string]string {
	m := map[string]string{}
	for _, ty := range host.Standard(new(host.Locks), nil) {
		m[ty.ID] = ty.Proxy
	}
	return m
}()

// Create makes an object of a type, which the server must have, and returns a
// proxy for it. The arguments are Go values as Proxy.Call has them.
func (c *Client) Create(ctx context.Context, typeid string, args ...any) (*Proxy, error) {
	return c.CreateNamed(ctx, typeid, nil, args...)
}

// CreateNamed is Create with keyword arguments too.
func (c *Client) CreateNamed(ctx context.Context, typeid string, kwds map[string]any, args ...any) (*Proxy, error) {
	in, err := arguments(args)
	if err != nil {
		return nil, err
	}
	kw, err := keywords(kwds)
	if err != nil {
		return nil, err
	}
	v, err := c.do(ctx, call{method: "create", args: append(pickle.Tuple{typeid}, in...), kwds: kw})
	if err != nil {
		return nil, err
	}
	t, ok := v.(pickle.Tuple)
	if !ok || len(t) != 2 {
		return nil, fmt.Errorf("manager: create answered %s", pickle.Repr(v, 100))
	}
	id, ok := t[0].(string)
	if !ok {
		return nil, fmt.Errorf("manager: create answered %s", pickle.Repr(v, 100))
	}
	return c.newProxy(typeid, id, t[1]), nil
}

// newProxy makes a proxy that has a reference.
func (c *Client) newProxy(typeid, id string, exposed any) *Proxy {
	p := &Proxy{c: c, typeid: typeid, id: id, ident: id, class: pickle.Global{Module: "multiprocessing.managers", Name: "AutoProxy"}}
	if name := standardProxies[typeid]; name != "" {
		p.class.Name = name
	}
	if items, err := pickle.Iterate(exposed); err == nil {
		for _, x := range items {
			if s, ok := x.(string); ok {
				p.exposed = append(p.exposed, s)
			}
		}
	}
	p.hasReference()
	return p
}

// hasReference has the reference given up when the proxy is no more, if nobody
// closed it.
func (p *Proxy) hasReference() {
	c, id := p.c, p.id
	p.cleanup = runtime.AddCleanup(p, func(string) {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), c.o.Timeout)
			defer cancel()
			_ = c.decref(ctx, id) // the server may be gone, and with it the object
		}()
	}, id)
}

func (c *Client) decref(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: "decref", args: pickle.Tuple{id}})
	return err
}

// Close gives the reference up. The proxy must not be used afterwards.
func (p *Proxy) Close(ctx context.Context) error {
	p.cleanup.Stop()
	return p.c.decref(ctx, p.id)
}

// Client returns the proxy's client.
func (p *Proxy) Client() *Client { return p.c }

// ID returns the object's ident, Type its typeid.
func (p *Proxy) ID() string { return p.id }

// Type returns the object's typeid.
func (p *Proxy) Type() string { return p.typeid }

// String names the object.
func (p *Proxy) String() string { return fmt.Sprintf("%s %s of manager %s", p.typeid, p.id, p.c.addr) }

// Releasers says that it is not known here who could end a wait: the server
// looks for deadlocks.
func (p *Proxy) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// Reduce is how a proxy is written into a message.
func (p *Proxy) Reduce() *pickle.Object {
	kw := new(pickle.Dict)
	if p.class.Name == "AutoProxy" {
		exposed := make(pickle.Tuple, len(p.exposed))
		for i, s := range p.exposed {
			exposed[i] = s
		}
		kw.SetString("exposed", exposed)
	}
	token := &host.Token{Type: p.typeid, Address: p.c.tokenAt(), ID: p.id}
	return &pickle.Object{
		Class: pickle.Global{Module: "multiprocessing.managers", Name: "RebuildProxy"},
		Args:  pickle.Tuple{p.class, token, "pickle", kw},
	}
}

// TypeName is the name of the proxy's class in Python.
func (p *Proxy) TypeName() string { return p.class.Name }

// Repr is what Python prints for it.
func (p *Proxy) Repr() string {
	return fmt.Sprintf("<%s object, typeid %q at %s>", p.class.Name, p.typeid, p.id)
}

// rebuilding makes proxies of those that come in an answer. They have no
// reference yet: see adopt.
func (c *Client) rebuilding(class *pickle.Class, found *[]*Proxy) *pickle.Class {
	return &pickle.Class{New: func(g pickle.Global, args pickle.Tuple, isNew bool) (any, error) {
		v, err := class.New(g, args, isNew)
		if err != nil {
			return nil, err
		}
		hp, ok := v.(*host.Proxy)
		if !ok {
			return v, nil
		}
		typeid, _ := hp.Token.Type.(string)
		p := &Proxy{c: c, typeid: typeid, id: hp.Token.ID, ident: hp.Token.ID, class: hp.Class_}
		if len(args) == 4 {
			if kw, ok := args[3].(*pickle.Dict); ok {
				if names, ok, _ := kw.Get("exposed"); ok {
					items, _ := pickle.Iterate(names)
					for _, x := range items {
						if s, ok := x.(string); ok {
							p.exposed = append(p.exposed, s)
						}
					}
				}
			}
		}
		*found = append(*found, p)
		return p, nil
	}}
}

// adopt takes a reference for each proxy that came in an answer.
func (c *Client) adopt(ctx context.Context, found []*Proxy) error {
	for _, p := range found {
		if _, err := c.do(context.WithoutCancel(ctx), call{method: "incref", args: pickle.Tuple{p.id}}); err != nil {
			return fmt.Errorf("manager: %v came in an answer: %w", p, err)
		}
		p.hasReference()
	}
	return nil
}

// arguments converts Go values to what is sent.
func arguments(args []any) (pickle.Tuple, error) {
	t := make(pickle.Tuple, len(args))
	for i, a := range args {
		v, err := toWire(a)
		if err != nil {
			return nil, fmt.Errorf("manager: argument %d: %w", i+1, err)
		}
		t[i] = v
	}
	return t, nil
}

// toWire is pickle.FromGo, with typed proxies as the proxies that they are.
func toWire(v any) (any, error) {
	if p, ok := v.(interface{ Proxy() *Proxy }); ok {
		return p.Proxy(), nil
	}
	return pickle.FromGo(v)
}

func keywords(kwds map[string]any) (*pickle.Dict, error) {
	d := new(pickle.Dict)
	names := make([]string, 0, len(kwds))
	for name := range kwds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v, err := toWire(kwds[name])
		if err != nil {
			return nil, fmt.Errorf("manager: argument %s: %w", name, err)
		}
		d.SetString(name, v)
	}
	return d, nil
}

// Call calls a method and returns its result as a Go value.
//
// Arguments: integers of all sizes are ints, []byte is bytes, a slice a list, an
// array a tuple, a map a dict, a struct a dict by the names of its fields, or of
// their tags `pickle:"name"`, a Proxy the object. Results: an int is an int64 or
// a *big.Int; bytes are []byte; a list, tuple or set is a []any; a dict is a
// map[string]any or, with other keys, a map[any]any; a proxy is a *Proxy. What
// the method raised is a *PythonError.
//
// Call does not wait under ctx's end for methods that wait at CPython's server:
// the typed proxies do that.
func (p *Proxy) Call(ctx context.Context, method string, args ...any) (any, error) {
	v, err := p.raw(ctx, method, args...)
	if err != nil {
		return nil, err
	}
	return pickle.ToGo(v), nil
}

// raw is Call whose result is as it came.
func (p *Proxy) raw(ctx context.Context, method string, args ...any) (any, error) {
	in, err := arguments(args)
	if err != nil {
		return nil, err
	}
	return p.do(ctx, call{method: method, args: in, on: p})
}

func (p *Proxy) do(ctx context.Context, cl call) (any, error) {
	cl.ident = p.ident
	v, err := p.c.do(ctx, cl)
	runtime.KeepAlive(p) // its reference
	if err != nil {
		return nil, err
	}
	// A #PROXY is a tuple of methods and a token, with a reference.
	if t, ok := v.(pickle.Tuple); ok && len(t) == 2 {
		if token, ok := t[1].(*host.Token); ok {
			typeid, _ := token.Type.(string)
			return p.c.newProxy(typeid, token.ID, t[0]), nil
		}
	}
	return v, nil
}

// get calls a method and converts the result.
func get[T any](ctx context.Context, p *Proxy, method string, args ...any) (T, error) {
	v, err := p.raw(ctx, method, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pickle.Get[T](v)
}

// errNoLink is what an operation of Go servers alone returns at others.
func errNoLink(what string) error {
	return fmt.Errorf("manager: %s: %w by this server, which is not Go's", what, errors.ErrUnsupported)
}

// polled repeats a call that waits a slice at a time, at a server whose calls
// cannot be given up, until done says so or ctx ends.
func (p *Proxy) polled(ctx context.Context, try func(seconds float64) (done bool, err error)) error {
	for {
		if ctx.Err() != nil {
			return strand.Err(ctx)
		}
		d := slice
		if deadline, ok := ctx.Deadline(); ok {
			d = min(d, max(time.Until(deadline), time.Millisecond))
		}
		if done, err := try(d.Seconds()); done || err != nil {
			return err
		}
	}
}
