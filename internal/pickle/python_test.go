package pickle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// writes has Python pickle values in every protocol that is read.
const writes = `
import base64, json, pickle, random
rng = random.Random(1)
values = [None, True, False, 0, -1, 255, 256, 65535, 65536, 2**31-1, -2**31, 2**31, 2**63-1, -2**63, 2**63, 10**50, -10**50,
    2**2100, -2**2100, 0.0, -0.0, 1.5, 0.1, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308,
    float("inf"), "", "abc", "it's", 'a "quote"', "both ' and \"", "h\u00e9\u4e16\U0001f600", "\x00\n\r\t\x7f\x85\xa0\xad\\",
    "\u200b\u2028\ufeff", b"", b"it's", bytes(range(256)), bytearray(b"x"), (), (1,), (1, 2, 3, 4), [], [1, [2]], {},
    {"a": 1, 2: (3,), None: [4], 1.5: b"b"}, set(), {1}, frozenset(), frozenset([(1, 2)]), 1j, -1.5-2j, range(3), range(1, 10, 3),
    "x" * 300, list(range(1500)), [["k"] * 3] * 2, {"n": {"n": {"n": ()}}}]
def make(depth):
    k = rng.randrange(9 if depth else 5)
    if k == 0: return rng.randrange(-2**70, 2**70)
    if k == 1: return rng.random() * 10 ** rng.randrange(-20, 20)
    if k == 2: return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xa0, 0x800)])) for _ in range(rng.randrange(9)))
    if k == 3: return rng.randbytes(rng.randrange(9)) if hasattr(rng, "randbytes") else b"x"
    if k == 4: return rng.choice([None, True, False])
    n = rng.randrange(5)
    if k == 5: return [make(depth - 1) for _ in range(n)]
    if k == 6: return tuple(make(depth - 1) for _ in range(n))
    if k == 7: return {make(0): make(depth - 1) for _ in range(n)}
    return frozenset(make(0) for _ in range(min(n, 1)))
values += [make(4) for _ in range(300)]
for v in values:
    for p in (2, 3, 4, 5):
        print(json.dumps({"p": p, "data": base64.b64encode(pickle.dumps(v, p)).decode(), "repr": repr(v)}))
`

// reads has Python read what was written and compare it with what it should be.
const reads = `
import base64, json, pickle, sys
inf = float("inf")
n = 0
for line in sys.stdin:
    d = json.loads(line)
    got, want = pickle.loads(base64.b64decode(d["data"])), eval(d["repr"])
    if type(got) is not type(want) or repr(got) != repr(want):
        sys.exit("got %.300r, want %.300r" % (got, want))
    n += 1
print(n)
`

// TestPython: what Python writes is read and printed as Python prints it, and
// what is written of it Python reads as the same.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the machine has no python3")
	}
	out, err := exec.Command(python, "-c", writes).Output()
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		P          int
		Data, Repr string
	}
	var back bytes.Buffer
	n := 0
	for line := range strings.Lines(string(out)) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		data, err := base64.StdEncoding.DecodeString(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Unmarshal(data, Options{Find: func(g Global) (*Class, error) {
			if c, ok := Builtin(g); ok {
				return c, nil
			}
			return nil, fmt.Errorf("%s is refused", g)
		}})
		if err != nil {
			t.Errorf("protocol %d, %.200s: %v", r.P, r.Repr, err)
			continue
		}
		if got := Repr(v, 1<<20); got != r.Repr {
			t.Errorf("protocol %d: printed as %.200s, want %.200s", r.P, got, r.Repr)
		}
		if eq, err := Equal(v, v); !eq || err != nil {
			t.Errorf("%.200s does not equal itself: %v", r.Repr, err)
		}
		data, err = Marshal(nil, v)
		if err != nil {
			t.Errorf("writing %.200s: %v", r.Repr, err)
			continue
		}
		r.Data = base64.StdEncoding.EncodeToString(data)
		b, err := json.Marshal(map[string]string{"data": r.Data, "repr": r.Repr})
		if err != nil {
			t.Fatal(err)
		}
		back.Write(append(b, '\n'))
		n++
	}
	cmd := exec.Command(python, "-c", reads)
	cmd.Stdin = &back
	said, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(said)) != fmt.Sprint(n) {
		t.Errorf("Python read %s of %d, %v", said, n, err)
	}
}
