package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a number of bytes.
type size int64

// UnmarshalText reads 512M, 1.5G, 64MiB or 1000000; the units are powers of 1024.
func (n *size) UnmarshalText(text []byte) error {
	s := string(text)
	number := strings.TrimRight(s, "iB")
	shift := 0
	if i := strings.IndexAny(number, "KMGTkmgt"); i == len(number)-1 && i > 0 {
		shift = 10 * (1 + strings.IndexByte("KMGT", strings.ToUpper(number)[i]))
		number = number[:i]
	}
	v, err := strconv.ParseFloat(number, 64)
	v *= float64(int64(1) << shift)
	switch {
	case err != nil || math.IsNaN(v) || strings.HasSuffix(s, "i"):
		return fmt.Errorf("%q is no size: want a number of bytes, or one with a unit, as in 512M or 1.5G", s)
	case v < 1:
		return fmt.Errorf("%q is no size that memory has: it must be above 0", s)
	case v >= math.MaxInt64:
		return fmt.Errorf("%q is no size that memory has: it must be below 8388608T", s)
	}
	*n = size(v)
	return nil
}

// String writes it in the largest unit that it is a whole number of.
func (n size) String() string {
	for _, unit := range []string{"", "K", "M", "G"} {
		if n%1024 != 0 || n == 0 {
			return strconv.FormatInt(int64(n), 10) + unit
		}
		n /= 1024
	}
	return strconv.FormatInt(int64(n), 10) + "T"
}
