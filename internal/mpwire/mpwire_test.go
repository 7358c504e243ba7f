package mpwire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/iotest"
	"time"
)

// TestMac checks answers against those of CPython 3.11 to 3.13.
func TestMac(t *testing.T) {
	data, err := os.ReadFile("testdata/hmac.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Form      string
		Key       string `json:"authkey_hex"`
		Challenge string `json:"challenge_hex"`
		Answer    string `json:"answer_hex"`
		Old       string `json:"old_peer_answer_hex"`
	}
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, row := range rows {
		a := Auth{Key: unhex(row.Key)}
		challenge := unhex(row.Challenge)
		got, err := a.Mac(challenge)
		if err != nil || !bytes.Equal(got, unhex(row.Answer)) {
			t.Errorf("%s: %x, %v; want %s", row.Form, got, err, row.Answer)
		}
		for _, answer := range []string{row.Answer, row.Old} {
			if b := unhex(answer); len(b) > 0 && !a.Verify(challenge, b) {
				t.Errorf("%s: %s is not accepted", row.Form, answer)
			}
			if b := unhex(answer); len(b) > 0 {
				b[len(b)-1] ^= 1
				if a.Verify(challenge, b) {
					t.Errorf("%s: a wrong answer is accepted", row.Form)
				}
			}
		}
	}
	if len(rows) < 20 {
		t.Errorf("only %d rows", len(rows))
	}
}

// TestOldChallengeLikeANewOne: of the random challenges of old peers one in 7,000
// looks as if it named a digest.
func TestOldChallengeLikeANewOne(t *testing.T) {
	challenge := []byte("{x}45678901234567890")
	got, err := Auth{Key: []byte("k")}.Mac(challenge)
	if err != nil || len(got) != 16 {
		t.Errorf("the answer is %x, %v; want 16 bytes of MD5", got, err)
	}
}

func TestStrongRefusesMD5(t *testing.T) {
	weak, strong := Auth{Key: []byte("k")}, Auth{Key: []byte("k"), Strong: true}
	old := bytes.Repeat([]byte("x"), 20)
	if _, err := strong.Mac(old); !errors.Is(err, ErrAuth) {
		t.Errorf("answering an old challenge: %v", err)
	}
	mac, err := weak.Mac(old)
	if err != nil {
		t.Fatal(err)
	}
	if !weak.Verify(old, mac) || strong.Verify(old, mac) {
		t.Error("the old answer: accepted by weak and refused by strong is right")
	}
}

// pair runs the two sides of a handshake and returns their errors.
func pair(t *testing.T, listener, client func(r *Reader, c net.Conn) error) (error, error) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		err := listener(NewReader(a, 64), a)
		a.Close()
		done <- err
	}()
	err := client(NewReader(b, 64), b)
	b.Close()
	return <-done, err
}

func TestHandshake(t *testing.T) {
	key, other := Auth{Key: []byte("key")}, Auth{Key: []byte("other")}
	welcome := func(a Auth) func(r *Reader, c net.Conn) error {
		return func(r *Reader, c net.Conn) error { return a.Welcome(r, c) }
	}
	greet := func(a Auth) func(r *Reader, c net.Conn) error {
		return func(r *Reader, c net.Conn) error { return a.Greet(r, c) }
	}
	if err1, err2 := pair(t, welcome(key), greet(key)); err1 != nil || err2 != nil {
		t.Errorf("one key: %v, %v", err1, err2)
	}
	if err1, err2 := pair(t, welcome(key), greet(other)); !errors.Is(err1, ErrAuth) || !errors.Is(err2, ErrAuth) {
		t.Errorf("two keys: %v, %v", err1, err2)
	}
	// A client that knows nothing sends our own challenge back, to have us
	// answer it.
	err1, _ := pair(t, welcome(key), func(r *Reader, c net.Conn) error {
		m, err := r.Next()
		if err != nil {
			return err
		}
		return WriteFrame(c, m)
	})
	if !errors.Is(err1, ErrAuth) {
		t.Errorf("an echo: %v", err1)
	}
	// One that knows the key, too.
	err1, _ = pair(t, welcome(key), func(r *Reader, c net.Conn) error {
		m, err := r.Next()
		if err != nil {
			return err
		}
		message := bytes.Clone(m)
		mac, err := key.Mac(message[len(challengePrefix):])
		if err != nil {
			return err
		}
		if err := WriteFrame(c, mac); err != nil {
			return err
		}
		if _, err := r.Next(); err != nil {
			return err
		}
		return WriteFrame(c, message)
	})
	if !errors.Is(err1, ErrAuth) {
		t.Errorf("our own challenge back: %v", err1)
	}
}

// TestTruncatedHandshake cuts a client's part of the handshake off after every
// byte.
func TestTruncatedHandshake(t *testing.T) {
	key := Auth{Key: []byte("key")}
	sent := 1 << 30
	for cut := 0; cut < sent; cut++ {
		w := &cutWriter{left: cut}
		err1, _ := pair(t, func(r *Reader, c net.Conn) error { return key.Welcome(r, c) }, func(r *Reader, c net.Conn) error {
			w.c = c
			return key.Greet(r, w)
		})
		if w.total <= cut {
			if err1 != nil {
				t.Fatalf("the whole handshake: %v", err1)
			}
			sent = w.total
			break
		}
		if err1 == nil {
			t.Fatalf("cut off after %d bytes: no error", cut)
		}
	}
	if sent < 50 {
		t.Errorf("the client sent only %d bytes", sent)
	}
}

type cutWriter struct {
	c           net.Conn
	left, total int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	w.total += len(b)
	if len(b) <= w.left {
		w.left -= len(b)
		return w.c.Write(b)
	}
	n, err := w.c.Write(b[:w.left])
	w.left = 0
	return n, errors.Join(err, w.c.Close(), io.ErrClosedPipe)
}

func TestReader(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, n := range []int{0, 1, 11, 12, 13, 60, 1000, 200_000, 3} {
		payload := bytes.Repeat([]byte{byte(n)}, n)
		want = append(want, payload)
		var b bytes.Buffer
		if err := WriteFrame(&b, payload); err != nil {
			t.Fatal(err)
		}
		stream = append(stream, b.Bytes()...)
		want = append(want, payload) // and in the long form
		long := binary.BigEndian.AppendUint32(nil, 0xffffffff)
		long = binary.BigEndian.AppendUint64(long, uint64(n))
		stream = append(append(stream, long...), payload...)
	}
	for name, r := range map[string]io.Reader{
		"all at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"in halves": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		rd := NewReader(r, 64)
		for i, w := range want {
			got, err := rd.Next()
			if err != nil || !bytes.Equal(got, w) {
				t.Fatalf("%s: frame %d: %d bytes, %v; want %d", name, i, len(got), err, len(w))
			}
		}
		if _, err := rd.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the end: %v", name, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	head := func(n int32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(n)), rest...)
	}
	for name, row := range map[string]struct {
		data []byte
		want error
	}{
		"negative":                 {head(-2, 1, 2, 3), new(LengthError)},
		"2 GiB":                    {head(0x7fffffff), new(LengthError)},
		"64 bits":                  {head(-1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), new(LengthError)},
		"half a header":            {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"half a long header":       {head(-1, 0, 0), io.ErrUnexpectedEOF},
		"a header alone":           {head(10), io.ErrUnexpectedEOF},
		"half a large frame":       {head(1<<19, make([]byte, 100)...), io.ErrUnexpectedEOF},
		"nothing, which is an end": {nil, io.EOF},
	} {
		r := NewReader(bytes.NewReader(row.data), 64)
		r.Most = 1 << 20
		_, err := r.Next()
		if le := new(LengthError); errors.As(row.want, &le) {
			if !errors.As(err, &le) {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", name, err, row.want)
		}
	}
}

// halting is a connection with a deadline that has passed after each few bytes.
type halting struct {
	r    io.Reader
	turn int
}

func (h *halting) Read(p []byte) (int, error) {
	if h.turn++; h.turn%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return h.r.Read(p[:min(len(p), 1000)])
}

// A time-out anywhere in a frame loses nothing.
func TestTimeoutsWithinFrames(t *testing.T) {
	var sent bytes.Buffer
	sizes := []int{3, 0, 200_000, 10, 5000, 1}
	for i, n := range sizes {
		if err := WriteFrame(&sent, bytes.Repeat([]byte{byte(i)}, n)); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&halting{r: &sent}, 1<<10)
	for i, n := range sizes {
		b, err := r.Next()
		for errors.Is(err, os.ErrDeadlineExceeded) {
			b, err = r.Next()
		}
		if err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, n)) {
			t.Fatalf("frame %d: %d bytes, %v", i, len(b), err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// TestClaimedLength: who claims 256 MiB and sends little costs little.
func TestClaimedLength(t *testing.T) {
	data := append(binary.BigEndian.AppendUint32(nil, 256<<20), make([]byte, 1000)...)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := NewReader(bytes.NewReader(data), 64).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("it cost %d bytes", allocated)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01x"), 16)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		r := NewReader(bytes.NewReader(data), size%4096)
		r.Most = 1 << 20
		total := 0
		for {
			b, err := r.Next()
			if err != nil {
				break
			}
			if total += len(b) + shortHead; total > len(data) {
				t.Fatalf("%d bytes of frames in %d bytes", total, len(data))
			}
		}
	})
}

// FuzzHandshake plays any client: it must not get in without the key.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x10aaaaaaaaaaaaaaaa\x00\x00\x00\x1f#CHALLENGE#01234567890123456789\x00\x00\x00\x09#WELCOME#"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReader(bytes.NewReader(data), 64)
		if err := (Auth{Key: []byte("key")}).Welcome(r, io.Discard); err == nil {
			t.Fatal("a client without the key was welcomed")
		}
	})
}
