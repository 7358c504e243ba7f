package host

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"weak"

	"github.com/tristrand/tristrand/internal/pickle"
)

// A Type is a kind of object that clients may create or be given.
type Type struct {
	ID      string
	Exposed []string // the methods that clients may call

	// Proxy is the class of Python's proxies for it, in
	// multiprocessing.managers; "" is AutoProxy.
	Proxy string

	// New makes one; nil: clients cannot.
	New func(c *Call) (Object, error)
}

// An Entry is an object in a Table.
type Entry struct {
	ID     string
	Type   *Type
	Object Object
	refs   int  // guarded by the table's mutex
	stored bool // a proxy of it may be in another object; likewise
}

// A Table has the objects of a server. One is kept while clients count
// references to it, and as long as a proxy of it is stored in another object:
// the garbage collector finds out about the latter, cycles included.
type Table struct {
	// Most is how many objects there may be; 0 is no bound.
	Most int

	mu      sync.Mutex
	counted map[string]*Entry
	all     map[string]weak.Pointer[Entry]
	byObj   map[Object]*Entry // counted ones
	next    uint64
}

// NewTable returns an empty table.
func NewTable(most int) *Table {
	return &Table{
		Most: most, counted: map[string]*Entry{}, all: map[string]weak.Pointer[Entry]{}, byObj: map[Object]*Entry{},
	}
}

// Add puts an object in, with one reference. An object that is in already keeps
// its ident and gets one more.
func (t *Table) Add(ty *Type, o Object) (*Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, ok := t.byObj[o]; ok {
		e.refs++
		return e, nil
	}
	if t.Most > 0 && len(t.all) >= t.Most {
		return nil, exception("MemoryError", "this server holds %d objects, the most that it may", len(t.all))
	}
	t.next++
	e := &Entry{ID: strconv.FormatUint(t.next, 16), Type: ty, Object: o, refs: 1}
	if n, ok := o.(interface{ SetName(ident string) }); ok {
		n.SetName(e.ID)
	}
	t.counted[e.ID], t.byObj[o] = e, e
	t.all[e.ID] = weak.Make(e)
	runtime.AddCleanup(e, t.forget, e.ID)
	return e, nil
}

func (t *Table) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, id)
}

func unknown(id any) error { return keyError(id) }

// Find returns the entry of an ident: one that is counted, or stored.
func (t *Table) Find(id string) (*Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(id)
}

func (t *Table) find(id string) (*Entry, error) {
	if e, ok := t.counted[id]; ok {
		return e, nil
	}
	if e := t.all[id].Value(); e != nil {
		return e, nil
	}
	return nil, unknown(id)
}

// refer returns the entry of an ident for a proxy that has come in a value.
func (t *Table) refer(id string) (*Entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.find(id)
	if err == nil {
		e.stored = true
	}
	return e, err
}

// Incref counts one more reference. It revives an object that is only stored.
func (t *Table) Incref(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.find(id)
	if err != nil {
		return err
	}
	e.refs++
	t.counted[id], t.byObj[e.Object] = e, e
	return nil
}

// Decref counts one reference less; with the last the object is forgotten,
// unless it is stored.
func (t *Table) Decref(id string) error {
	t.mu.Lock()
	e, ok := t.counted[id]
	if !ok {
		t.mu.Unlock()
		return unknown(id)
	}
	e.refs--
	gone := e.refs == 0
	if gone {
		delete(t.counted, id)
		delete(t.byObj, e.Object)
		if !e.stored {
			delete(t.all, id)
		}
	}
	t.mu.Unlock()
	if d, ok := e.Object.(interface{ Dropped() }); gone && ok {
		d.Dropped()
	}
	return nil
}

// Len returns how many objects are counted.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.counted)
}

// Entries returns the counted entries and their references, by ident.
func (t *Table) Entries() ([]*Entry, []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	es := slices.SortedFunc(maps.Values(t.counted), func(a, b *Entry) int { return strings.Compare(a.ID, b.ID) })
	refs := make([]int, len(es))
	for i, e := range es {
		refs[i] = e.refs
	}
	return es, refs
}

const debugWidth = 75

// Debug is Python's debug_info.
func (t *Table) Debug() string {
	es, refs := t.Entries()
	lines := make([]string, len(es))
	for i, e := range es {
		text := e.Object.Repr(4 * debugWidth)
		if r := []rune(text); len(r) > debugWidth {
			text = string(r[:debugWidth])
		}
		lines[i] = fmt.Sprintf("  %s:       refcount=%d\n    %s", e.ID, refs[i], text)
	}
	return strings.Join(lines, "\n")
}

// A Token says where an object is.
type Token struct {
	Type    any
	Address any
	ID      string
}

func global(name string) pickle.Global { return pickle.Global{Module: managers, Name: name} }

// Reduce is how it is written.
func (t *Token) Reduce() *pickle.Object {
	return &pickle.Object{Class: global("Token"), Args: pickle.Tuple{t.Type, t.Address, t.ID}}
}

// Class is Python's.
func (t *Token) Class() pickle.Global { return global("Token") }

// TypeName is Python's.
func (t *Token) TypeName() string { return "Token" }

// A Proxy stands in a value for an object that is shared: of this server, then
// it has an Entry, or of another. It is written as it came.
type Proxy struct {
	Class_ pickle.Global // of the proxy
	Token  *Token
	Args   pickle.Tuple // of RebuildProxy
	Entry  *Entry
}

// Reduce is how it is written.
func (p *Proxy) Reduce() *pickle.Object {
	return &pickle.Object{Class: global("RebuildProxy"), Args: p.Args}
}

// TypeName is the name of the proxy's class.
func (p *Proxy) TypeName() string { return p.Class_.Name }

// Repr prints it.
func (p *Proxy) Repr() string {
	return fmt.Sprintf("<%s object, typeid %s at 0x%s>", p.Class_.Name, pickle.Repr(p.Token.Type, 100), p.Token.ID)
}

// Iterate returns what iterating over the object yields, if it is a container
// of this server.
func (p *Proxy) Iterate() ([]any, error) {
	if p.Entry != nil {
		switch p.Entry.Object.(type) {
		case *List, *Dict, *Set, *Array:
			v, err := p.Entry.Object.Value()
			if err != nil {
				return nil, err
			}
			return pickle.Iterate(v)
		}
	}
	return nil, typeError("'%s' object is not iterable", p.Class_.Name)
}

// Mapping returns the object's value if it is a dict of this server.
func (p *Proxy) Mapping() *pickle.Dict {
	if p.Entry == nil {
		return nil
	}
	d, ok := p.Entry.Object.(*Dict)
	if !ok {
		return nil
	}
	v, _ := d.Value() // it has no error
	return v.(*pickle.Dict)
}
