package cluster

import (
	"fmt"
	"strings"
)

// escape makes any text one token of a subject: letters, digits, - and _ stand for
// themselves, other bytes are written as =XX.
func escape(s string) string {
	if s == "" {
		return "="
	}
	if plainName.MatchString(s) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// unescape is the opposite of escape; what is no such token it returns as it is.
func unescape(s string) string {
	if !strings.Contains(s, "=") {
		return s
	}
	if s == "=" {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		if i+2 >= len(s) {
			return s
		}
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err != nil {
			return s
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}
