package pickle

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Repr returns what Python prints for v, cut off with "…" after most bytes.
func Repr(v any, most int) string {
	p := printer{most: most}
	p.value(v, nil)
	s := p.b.String()
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most] + "…"
	}
	return s
}

type printer struct {
	b    bytes.Buffer
	most int
}

func (p *printer) full() bool { return p.b.Len() > p.most }

func (p *printer) value(v any, inside []any) {
	if p.full() {
		return
	}
	if s, ok := plain(v, p.most-p.b.Len()); ok {
		p.b.WriteString(s)
		return
	}
	id := identity(v)
	for _, x := range inside {
		if id != nil && x == id {
			p.b.WriteString(dots(v))
			return
		}
	}
	if len(inside) > maxWalk {
		p.b.WriteString("...")
		return
	}
	inside = append(inside, id)
	switch v := v.(type) {
	case Tuple:
		p.items("(", v, inside)
		if len(v) == 1 {
			p.b.WriteString(",")
		}
		p.b.WriteString(")")
	case *List:
		p.items("[", v.Items, inside)
		p.b.WriteString("]")
	case *Dict:
		p.b.WriteString("{")
		p.pairs(v, ": ", inside)
		p.b.WriteString("}")
	case *Set, *FrozenSet:
		p.set(v, inside)
	case *Slice:
		p.items("slice(", []any{v.Start, v.Stop, v.Step}, inside)
		p.b.WriteString(")")
	case *Object:
		if s, ok := v.repr(); ok {
			p.b.WriteString(s)
			return
		}
		p.b.WriteString(v.Class.Name)
		if len(v.Items) > 0 {
			p.items("([", v.Items, inside)
			p.b.WriteString("])")
			return
		}
		p.items("(", v.Args, inside)
		if len(v.Args) == 1 && v.New {
			p.b.WriteString(",")
		}
		p.b.WriteString(")")
	default:
		fmt.Fprintf(&p.b, "<%s object>", TypeName(v))
	}
}

func dots(v any) string {
	switch v.(type) {
	case *List:
		return "[...]"
	case *Dict:
		return "{...}"
	case Tuple:
		return "(...)"
	default:
		return "..."
	}
}

func (p *printer) items(open string, items []any, inside []any) {
	p.b.WriteString(open)
	for i, x := range items {
		if p.full() {
			return
		}
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.value(x, inside)
	}
}

func (p *printer) pairs(d *Dict, between string, inside []any) {
	first := true
	for k, x := range d.All() {
		if p.full() {
			return
		}
		if !first {
			p.b.WriteString(", ")
		}
		first = false
		p.value(k, inside)
		p.b.WriteString(between)
		p.value(x, inside)
	}
}

func (p *printer) set(v any, inside []any) {
	s, _ := AsSet(v)
	_, frozen := v.(*FrozenSet)
	items, _ := Iterate(s)
	switch {
	case frozen && len(items) == 0:
		p.b.WriteString("frozenset()")
	case frozen:
		p.items("frozenset({", items, inside)
		p.b.WriteString("})")
	case len(items) == 0:
		p.b.WriteString("set()")
	default:
		p.items("{", items, inside)
		p.b.WriteString("}")
	}
}

// maxPrinted bounds an int that is printed, in bits: it takes more than linear time.
const maxPrinted = 1 << 17

// beginning returns as much of a text as is needed to print most bytes of it and a
// rune more.
func beginning(s string, most int) string { return s[:min(len(s), max(most, 0)+2*utf8.UTFMax)] }

// plain prints what holds nothing. Of what is longer than most it may return only
// the beginning, which is longer than most, too.
func plain(v any, most int) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "None", true
	case bool:
		if v {
			return "True", true
		}
		return "False", true
	case int64:
		return strconv.FormatInt(v, 10), true
	case *big.Int:
		if v.BitLen() > maxPrinted {
			return fmt.Sprintf("<int of %d bits>", v.BitLen()), true
		}
		return v.String(), true
	case float64:
		return Float(v), true
	case complex128:
		return complexText(v), true
	case string:
		return quote(beginning(v, most), quoteMark(v)), true
	case Bytes:
		return quoteBytes(beginning(string(v), most), quoteMark(string(v))), true
	case *ByteArray:
		s := string(v.B)
		return "bytearray(" + quoteBytes(beginning(s, most), quoteMark(s)) + ")", true
	case *Range:
		if v.Step == 1 {
			return fmt.Sprintf("range(%d, %d)", v.Start, v.Stop), true
		}
		return fmt.Sprintf("range(%d, %d, %d)", v.Start, v.Stop, v.Step), true
	case Global:
		return v.repr(), true
	case interface{ Repr() string }:
		return v.Repr(), true
	default:
		return "", false
	}
}

// repr prints a name: a class has a capital, or is a built-in type.
func (g Global) repr() string {
	switch {
	case g.Module != "builtins":
		return "<class '" + g.String() + "'>"
	case g.Name == "Ellipsis" || g.Name == "NotImplemented":
		return g.Name
	case g.Name[0] >= 'a' && !slices.Contains(builtinTypes, g.Name):
		return "<built-in function " + g.Name + ">"
	default:
		return "<class '" + g.Name + "'>"
	}
}

var builtinTypes = strings.Fields(`bool bytearray bytes complex dict enumerate filter float frozenset int list map
	object range reversed set slice str tuple type zip`)

// Float returns what Python prints for f.
func Float(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	_, exp, _ := strings.Cut(s, "e")
	if n, _ := strconv.Atoi(exp); n < -4 || n >= 16 {
		return s
	}
	s = strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func complexText(c complex128) string {
	short := func(f float64) string { return strings.TrimSuffix(Float(f), ".0") }
	im := short(imag(c)) + "j"
	if real(c) == 0 && !math.Signbit(real(c)) {
		return im
	}
	if !strings.HasPrefix(im, "-") {
		im = "+" + im
	}
	return "(" + short(real(c)) + im + ")"
}

func quoteMark(s string) byte {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return '"'
	}
	return '\''
}

func quote(s string, q byte) string {
	b := append(make([]byte, 0, len(s)+2), q)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == rune(q) || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == utf8.RuneError && n == 1 && i+2 < len(s): // a lone surrogate
			b = fmt.Appendf(b, `\u%04x`, 0xd000|int(s[i+1]&0x3f)<<6|int(s[i+2]&0x3f))
			n = 3
		case r < ' ' || r == 0x7f || r > 0x7f && r < 0x100 && !unicode.IsPrint(r):
			b = fmt.Appendf(b, `\x%02x`, r)
		case unicode.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = fmt.Appendf(b, `\U%08x`, r)
		}
		i += n
	}
	return string(append(b, q))
}

const hexDigits = "0123456789abcdef"

func quoteBytes(s string, q byte) string {
	b := append(make([]byte, 0, len(s)+3), 'b', q)
	for i := range len(s) {
		switch c := s[i]; {
		case c == q || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, q))
}
