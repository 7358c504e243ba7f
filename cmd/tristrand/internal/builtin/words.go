package builtin

import (
	"errors"
	"strings"
)

// Words splits a line into words as a shell's quoting does, and does nothing
// else of what a shell does: blanks separate words, '…' keeps everything as it
// is, "…" does too but for \" and \\, and outside quotes a \ keeps the next
// character. There are no variables, patterns, pipes or redirections.
func Words(line string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		open  bool // a word has begun, perhaps with an empty quote
	)
	end := func() {
		if open {
			words = append(words, word.String())
			word.Reset()
			open = false
		}
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n', '\r':
			end()
		case '\'':
			length := strings.IndexByte(line[i+1:], '\'')
			if length < 0 {
				return nil, errors.New("a ' is never closed")
			}
			word.WriteString(line[i+1 : i+1+length])
			open, i = true, i+1+length
		case '"':
			length, err := doubleQuoted(line[i+1:], &word)
			if err != nil {
				return nil, err
			}
			open, i = true, i+length
		case '\\':
			if i++; i == len(line) {
				return nil, errors.New(`a \ ends the line; it must be followed by the character it keeps`)
			}
			word.WriteByte(line[i])
			open = true
		default:
			word.WriteByte(c)
			open = true
		}
	}
	end()
	return words, nil
}

// doubleQuoted writes what stands before the closing quote and returns how far
// that is, the quote included.
func doubleQuoted(s string, word *strings.Builder) (int, error) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
		}
		word.WriteByte(s[i])
	}
	return 0, errors.New(`a " is never closed`)
}

// Quote makes of a text one word that Words reads back.
func Quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
