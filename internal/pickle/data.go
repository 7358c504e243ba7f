package pickle

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// A trait says what Python does with the instances of a class.
type trait uint8

const (
	changes  trait = iota + 1 // equal by their parts, and never keys
	keyed                     // equal by their parts, and keys
	ordered                   // keyed, and less or greater by what they are made of
	rational                  // keyed, and numbers
)

// dataClasses are the classes of Python's library whose instances are data and
// nothing else. They are kept as Objects, and written as they were read.
var dataClasses = map[Global]trait{
	{"datetime", "date"}: ordered, {"datetime", "datetime"}: ordered, {"datetime", "time"}: ordered,
	{"datetime", "timedelta"}: ordered, {"datetime", "timezone"}: keyed, {"time", "struct_time"}: ordered,
	{"decimal", "Decimal"}: rational, {"fractions", "Fraction"}: rational, {"uuid", "UUID"}: keyed,
	{"collections", "OrderedDict"}: changes, {"collections", "defaultdict"}: changes,
	{"collections", "Counter"}: changes, {"collections", "deque"}: changes, {"types", "SimpleNamespace"}: changes,
	{"ipaddress", "IPv4Address"}: ordered, {"ipaddress", "IPv6Address"}: ordered,
	{"ipaddress", "IPv4Network"}: keyed, {"ipaddress", "IPv6Network"}: keyed,
	{"pathlib", "PurePosixPath"}: ordered, {"pathlib", "PosixPath"}: ordered,
	{"pathlib", "PureWindowsPath"}: keyed, {"pathlib", "WindowsPath"}: keyed,
	{"pathlib._local", "PurePosixPath"}: ordered, {"pathlib._local", "PosixPath"}: ordered,
	{"pathlib._local", "PureWindowsPath"}: keyed, {"pathlib._local", "WindowsPath"}: keyed,
}

// Data returns how instances of those classes of Python's library are kept that
// are data: dates and times, decimals and fractions, UUIDs, addresses and paths,
// and the containers of collections.
func Data(g Global) (*Class, bool) {
	if dataClasses[g] == 0 {
		return nil, false
	}
	return Symbolic, true
}

// equalObjects compares what was kept. Python compares by identity what is not
// known here.
func (c *comparison) equalObjects(a, b *Object, depth int) bool {
	t := dataClasses[a.Class]
	if t == 0 || a.Class != b.Class {
		return false
	}
	if t == rational {
		x, ok1 := a.rational()
		y, ok2 := b.rational()
		if ok1 && ok2 {
			return x.Cmp(y) == 0
		}
	}
	return c.allEqual(a.Args, b.Args, depth) && c.equal(a.State, b.State, depth+1) && c.allEqual(a.Items, b.Items, depth)
}

// lessObjects is a < b; known is false where it cannot be told.
func (c *comparison) lessObjects(a, b *Object, depth int) (less, known bool) {
	if a.Class != b.Class {
		return false, false
	}
	switch dataClasses[a.Class] {
	case ordered:
		// A date is its bytes, the year first, and perhaps its zone.
		if len(a.Args) != len(b.Args) || a.Class.Module == "datetime" && len(a.Args) == 2 && !c.equal(a.Args[1], b.Args[1], depth+1) {
			return false, false
		}
		return c.lessItems(a.Args, b.Args, depth), true
	case rational:
		x, ok1 := a.rational()
		y, ok2 := b.rational()
		return ok1 && ok2 && x.Cmp(y) < 0, ok1 && ok2
	default:
		return false, false
	}
}

// maxDigits bounds a number whose exact value is looked at.
const maxDigits = 2000

// rational is the value of a decimal.Decimal or fractions.Fraction, if it is a
// number of a size that can be worked with.
func (o *Object) rational() (*big.Rat, bool) {
	switch len(o.Args) {
	case 1:
		s, ok := o.Args[0].(string)
		if !ok || len(s) > maxDigits {
			return nil, false
		}
		if _, exp, has := strings.Cut(s, "E"); has && len(strings.TrimLeft(exp, "+-")) > 3 {
			return nil, false
		}
		return new(big.Rat).SetString(s)
	case 2:
		x, ok1 := bigInt(o.Args[0])
		y, ok2 := bigInt(o.Args[1])
		if ok1 && ok2 && y.Sign() != 0 && x.BitLen()+y.BitLen() < 4*maxDigits {
			return new(big.Rat).SetFrac(x, y), true
		}
	}
	return nil, false
}

func bigInt(v any) (*big.Int, bool) {
	switch v := v.(type) {
	case int64:
		return big.NewInt(v), true
	case *big.Int:
		return v, true
	default:
		return nil, false
	}
}

// objectKey stands for an Object in Go's maps.
type objectKey string

// key is the key of what was kept; one of an unknown class equals only itself.
func (o *Object) key() (any, error) {
	switch dataClasses[o.Class] {
	case 0:
		return o, nil
	case changes:
		return nil, &TypeError{"unhashable type: '" + o.Class.String() + "'"}
	default:
		b, err := o.appendKey(nil, 0)
		return objectKey(b), err
	}
}

func (o *Object) appendKey(b []byte, depth int) ([]byte, error) {
	if t := dataClasses[o.Class]; t == 0 || t == changes {
		return nil, &TypeError{"unhashable type inside a key: '" + o.Class.Name + "'"}
	}
	name := o.Class.String()
	b = append(binary.AppendUvarint(append(b, 'o'), uint64(len(name))), name...)
	if x, ok := o.rational(); ok && dataClasses[o.Class] == rational {
		return appendKey(b, x.String(), depth+1)
	}
	parts := slices.Clone(o.Args)
	if d, ok := o.State.(*Dict); ok {
		for k, v := range d.All() {
			parts = append(parts, k, v)
		}
	}
	return appendKey(b, parts, depth+1)
}

// repr prints what has a form of its own in Python.
func (o *Object) repr() (string, bool) {
	name := o.Class.String()
	var raw Bytes
	if len(o.Args) > 0 {
		raw, _ = o.Args[0].(Bytes)
	}
	switch {
	case name == "datetime.date" && len(raw) == 4:
		return fmt.Sprintf("datetime.date(%d, %d, %d)", int(raw[0])<<8|int(raw[1]), raw[2], raw[3]), true
	case name == "datetime.datetime" && len(raw) == 10:
		day := fmt.Sprintf("%d, %d, %d, ", int(raw[0])<<8|int(raw[1]), raw[2]&0x7f, raw[3])
		return "datetime.datetime(" + day + clock(raw[4:]) + o.zone() + ")", true
	case name == "datetime.time" && len(raw) == 6:
		return "datetime.time(" + clock(Bytes([]byte{raw[0] & 0x7f})+raw[1:]) + o.zone() + ")", true
	case name == "datetime.timedelta" && len(o.Args) == 3:
		return duration(o.Args), true
	case name == "uuid.UUID":
		d, _ := o.State.(*Dict)
		if d == nil {
			return "", false
		}
		v, _, _ := d.Get("int")
		n, ok := bigInt(v)
		if !ok || n.Sign() < 0 || n.BitLen() > 128 {
			return "", false
		}
		s := fmt.Sprintf("%032x", n)
		return "UUID('" + strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-") + "')", true
	}
	return "", false
}

// clock prints hours, minutes and, where they are not 0, seconds and microseconds.
func clock(raw Bytes) string {
	s := fmt.Sprintf("%d, %d", raw[0], raw[1])
	us := int(raw[3])<<16 | int(raw[4])<<8 | int(raw[5])
	if raw[2] != 0 || us != 0 {
		s += fmt.Sprintf(", %d", raw[2])
	}
	if us != 0 {
		s += fmt.Sprintf(", %d", us)
	}
	return s
}

func (o *Object) zone() string {
	if len(o.Args) < 2 {
		return ""
	}
	if z, ok := o.Args[1].(*Object); ok && z.Class.Name == "timezone" && len(z.Args) == 1 {
		if d, ok := z.Args[0].(*Object); ok && len(d.Args) == 3 && d.Args[0] == any(int64(0)) && d.Args[1] == any(int64(0)) {
			return ", tzinfo=datetime.timezone.utc"
		}
	}
	return ", tzinfo=" + Repr(o.Args[1], 200)
}

func duration(parts Tuple) string {
	var shown []string
	for i, name := range []string{"days", "seconds", "microseconds"} {
		if n, ok := bigInt(parts[i]); ok && n.Sign() != 0 {
			shown = append(shown, name+"="+n.String())
		}
	}
	if len(shown) == 0 {
		return "datetime.timedelta(0)"
	}
	return "datetime.timedelta(" + strings.Join(shown, ", ") + ")"
}
