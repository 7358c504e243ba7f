package main

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "1000000": "1000000", "64K": "64K", "64k": "64K", "512M": "512M", "512MiB": "512M", "512MB": "512M",
		"1.5G": "1536M", "2T": "2T", "1024": "1K",
	} {
		var n size
		if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != want {
			t.Errorf("%q is read as %v, %v; want %s", text, n, err, want)
		}
	}
	for _, text := range []string{"", "M", "0", "-1", "x", "1X", "1Mi", "1 M", "NaN", "0.1", "1e30", "99999999T", "1GG", "Inf"} {
		var n size
		if err := n.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, n)
		}
	}
}
