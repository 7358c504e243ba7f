package proxyproto

import (
	"errors"
	"testing"
)

const binaryHeader = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f\x0a\x00\x00\x07\x0a\x00\x00\x01\x00\x50\x00\x51\x04\x00\x00"

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n":    "192.0.2.1:1234",
		"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n":        "[2001:db8::1]:0",
		binaryHeader:                                    "10.0.0.7:80",
		"PROXY UNKNOWN\r\n":                             "local",
		"PROXY UNKNOWN anything at all\r\n":             "local",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00":        "local",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1234 080\r\n":   "error",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1234 -1\r\n":    "error",
		"PROXY TCP4 192.0.2.1  192.0.2.2 1234 80\r\n":   "error",
		"PROXY TCP4 192.0.2.01 192.0.2.2 1234 80\r\n":   "error",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":           "error",
		"PROXY UDP4 192.0.2.1 192.0.2.2 1234 80\r\n":    "error",
		"GET / HTTP/1.0\r\n":                            "error",
		"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00":        "error",
		"\r\n\r\n\x00\r\nQUIT\n\x22\x11\x00\x00":        "error",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x99\x00\x00":        "error",
		binaryHeader[:len(binaryHeader)-2] + "\x00\x09": "error",
	} {
		h, n, err := Parse([]byte(text + "rest"))
		got := "local"
		switch {
		case err != nil:
			got = "error"
		case !h.Local:
			got = h.Source.String()
		}
		if got != want || err == nil && n != len(text) {
			t.Errorf("%q: %s, %d bytes, %v; want %s", text, got, n, err, want)
		}
		if want != "error" {
			for i := range text {
				if _, _, err := Parse([]byte(text[:i])); !errors.Is(err, ErrShort) {
					t.Errorf("%q: %v, want that it is short", text[:i], err)
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nrest"))
	f.Add([]byte(binaryHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		if err == nil && (n <= 0 || n > len(b) || n > MaxBytes) || err != nil && n != 0 && h.Source.IsValid() {
			t.Errorf("%q: %+v, %d, %v", b, h, n, err)
		}
		if errors.Is(err, ErrShort) && len(b) >= MaxBytes {
			t.Errorf("%d bytes are still short", len(b))
		}
	})
}
