package template

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line writes arguments as one line that a shell reads back as the same
// arguments. It never holds a newline, a tab or another control character, nor
// bytes that are no UTF-8: those are written as $'\n', $'\t', $'\xff'.
func Line(args []string) string {
	if len(args) == 1 {
		return quote(args[0])
	}
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(a))
	}
	return b.String()
}

func quote(s string) string {
	plain, printable := s != "", true
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if !isPlain(r) {
			plain = false
		}
		if !isPrintable(r, n) {
			printable = false
		}
		i += n
	}
	switch {
	case plain:
		return s
	case printable:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return escape(s)
}

// isPrintable is of a rune that was decoded from n bytes.
func isPrintable(r rune, n int) bool {
	return unicode.IsPrint(r) && (r != utf8.RuneError || n > 1)
}

func isPlain(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return true
	}
	return strings.ContainsRune("_-./,:+@%=", r)
}

// escape writes s as $'…', which bash, zsh, ksh and POSIX 2024 know.
func escape(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\\' || r == '\'':
			b.WriteByte('\\')
			b.WriteByte(byte(r))
		case !isPrintable(r, n):
			for _, c := range []byte(s[i : i+n]) {
				b.WriteString(`\x`)
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	b.WriteByte('\'')
	return b.String()
}
