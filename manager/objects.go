package manager

import (
	"context"
	"fmt"

	"github.com/tristrand/tristrand/internal/pickle"
	"github.com/tristrand/tristrand/manager/internal/host"
)

// An Object is made when the server starts, and lives as long as it. Clients get
// it by creating its name: Client.Create(ctx, "jobs"), or in Python m.jobs()
// after SyncManager.register("jobs").
type Object struct {
	Name string
	Type string // that of another object, "dict" or one of Types
	Args []any  // for making it, as Proxy.Call has them
}

// keep makes the server's own objects and a type for each that returns it.
func (s *Server) keep() error {
	for _, o := range s.Objects {
		ty := s.types[o.Type]
		switch {
		case o.Name == "":
			return fmt.Errorf("manager: an object of type %q without a name", o.Type)
		case ty == nil || ty.New == nil:
			return fmt.Errorf("manager: object %q: there is no type %q", o.Name, o.Type)
		case s.types[o.Name] != nil:
			return fmt.Errorf("manager: object %q: there is a type of that name", o.Name)
		}
		args, err := arguments(o.Args)
		if err != nil {
			return err
		}
		made, err := ty.New(&host.Call{Args: args, Owner: &host.Owner{Name: "server"}, Wait: mayNotWait})
		if err != nil {
			return fmt.Errorf("manager: object %q: %w", o.Name, err)
		}
		named := &host.Type{ID: o.Name, Exposed: ty.Exposed, Proxy: ty.Proxy}
		named.New = func(c *host.Call) (host.Object, error) {
			if len(c.Args) > 0 || c.Kwds != nil && c.Kwds.Len() > 0 {
				return nil, host.Builtin("TypeError", fmt.Sprintf("object %q is there already: it takes no arguments", o.Name))
			}
			return made, nil
		}
		if _, err := s.table.Add(named, made); err != nil {
			return err
		}
		s.types[o.Name] = named
	}
	return nil
}

// inspectName is a function of Go servers: what they hold, who holds it and who
// waits for it.
const inspectName = "tristrand_inspect"

// inspect answers it.
func (s *Server) inspect() any {
	entries, refs := s.table.Entries()
	list := new(pickle.List)
	for i, e := range entries {
		var holder any
		if h, ok := e.Object.(interface{ Holder() pickle.Tuple }); ok {
			if t := h.Holder(); t != nil {
				holder = t
			}
		}
		list.Items = append(list.Items, pickle.Tuple{
			e.ID, e.Type.ID, int64(refs[i]), e.Object.Repr(inspectWidth), holder, names(host.Waiting(e.Object)),
		})
	}
	return list
}

const inspectWidth = 200

// An Entry is an object that a server holds.
type Entry struct {
	ID, Type string
	Refs     int
	Text     string   // what Python prints for it, cut short
	Holder   string   // of a lock: who, where, since when; "" nobody
	Waiters  []string // who waits for it, by their names
}

// Inspect asks a Go server for its objects, with who holds them and who waits.
func (c *Client) Inspect(ctx context.Context) ([]Entry, error) {
	if !c.linked() {
		return nil, errNoLink("Inspect")
	}
	v, err := c.do(ctx, call{method: inspectName})
	if err != nil {
		return nil, err
	}
	items, err := pickle.Iterate(v)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(items))
	for _, x := range items {
		var e Entry
		var holder, waiters any
		if err := fields(x, &e.ID, &e.Type, &e.Refs, &e.Text, &holder, &waiters); err != nil {
			return nil, err
		}
		if holder != nil {
			var name, at, where string
			var pid int
			if err := fields(holder, &name, &at, &pid, &where); err != nil {
				return nil, err
			}
			e.Holder = holderText(name, at, pid, where)
		}
		if e.Waiters, err = pickle.Get[[]string](waiters); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func holderText(name, at string, pid int, where string) string {
	s := name
	if pid != 0 {
		s += fmt.Sprintf(", process %d", pid)
	}
	if at != "" {
		s += " on " + at
	}
	if where != "" {
		s += ", since " + where
	}
	return s
}
