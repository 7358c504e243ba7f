package mpwire

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what peers before Python 3.12 know
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrAuth says that a peer does not have the key, or that it did not accept
// ours.
var ErrAuth = errors.New("authentication failed")

var (
	challengePrefix = []byte("#CHALLENGE#")
	welcome         = []byte("#WELCOME#")
	failure         = []byte("#FAILURE#")
)

const (
	mostBytes    = 256 // of a frame of the handshake
	oldChallenge = 20
	newRandom    = 40
	longestName  = 8 // of a digest
)

// An Auth is one side's part in handshakes.
type Auth struct {
	Key []byte

	// Strong refuses MD5, the only digest that Python before 3.12 knows.
	Strong bool
}

func digest(name string) func() hash.Hash {
	switch name {
	case "md5":
		return md5.New
	case "sha256":
		return sha256.New
	case "sha384":
		return sha512.New384
	case "sha3_256":
		return func() hash.Hash { return sha3.New256() }
	case "sha3_384":
		return func() hash.Hash { return sha3.New384() }
	default:
		return nil
	}
}

// Mac returns the answer that proves the key to who sent challenge. An error says
// that the challenge is not one to answer.
func (a Auth) Mac(challenge []byte) ([]byte, error) {
	if len(challenge) < oldChallenge {
		return nil, fmt.Errorf("%w: a challenge of %d bytes is too short", ErrAuth, len(challenge))
	}
	// One of 20 bytes is an old peer's: it is random, and may begin as if it
	// named a digest.
	if len(challenge) == oldChallenge {
		if a.Strong {
			return nil, fmt.Errorf("%w: the peer wants MD5, which is refused here", ErrAuth)
		}
		return a.sum("md5", challenge), nil
	}
	name, ok := prefix(challenge)
	if !ok {
		return nil, fmt.Errorf("%w: a challenge that names no digest", ErrAuth)
	}
	if digest(name) == nil || a.Strong && name == "md5" {
		return nil, fmt.Errorf("%w: the peer wants the digest %q, which is refused here", ErrAuth, name)
	}
	return append([]byte("{"+name+"}"), a.sum(name, challenge)...), nil
}

func (a Auth) sum(name string, message []byte) []byte {
	m := hmac.New(digest(name), a.Key)
	m.Write(message)
	return m.Sum(nil)
}

// prefix returns the name of the digest at the beginning of b.
func prefix(b []byte) (string, bool) {
	if len(b) == 0 || b[0] != '{' {
		return "", false
	}
	end := bytes.IndexByte(b[:min(len(b), longestName+2)], '}')
	if end < 1 {
		return "", false
	}
	return string(b[1:end]), true
}

// Verify reports whether answer proves the key to who sent challenge.
func (a Auth) Verify(challenge, answer []byte) bool {
	name := "md5"
	if len(answer) != md5.Size {
		var ok bool
		if name, ok = prefix(answer); !ok || digest(name) == nil {
			return false
		}
		answer = answer[len(name)+2:]
	}
	if a.Strong && name == "md5" {
		return false
	}
	return hmac.Equal(answer, a.sum(name, challenge))
}

// handshake is one connection's.
type handshake struct {
	Auth
	r    *Reader
	w    io.Writer
	sent []byte // our challenge
}

// Welcome is the listener's side: the peer proves its key first, then we ours. r
// must read from the connection that w writes to. The caller bounds the time.
func (a Auth) Welcome(r *Reader, w io.Writer) error {
	h := &handshake{Auth: a, r: r, w: w}
	return h.bounded(func() error {
		if err := h.challenge(); err != nil {
			return err
		}
		return h.answer()
	})
}

// Greet is the side of the one who connects.
func (a Auth) Greet(r *Reader, w io.Writer) error {
	h := &handshake{Auth: a, r: r, w: w}
	return h.bounded(func() error {
		if err := h.answer(); err != nil {
			return err
		}
		return h.challenge()
	})
}

// bounded runs f with short frames only.
func (h *handshake) bounded(f func() error) error {
	most := h.r.Most
	h.r.Most = mostBytes
	err := f()
	h.r.Most = most
	return err
}

// challenge has the peer prove its key.
func (h *handshake) challenge() error {
	h.sent = append([]byte("{sha256}"), make([]byte, newRandom)...)
	if _, err := rand.Read(h.sent[len(h.sent)-newRandom:]); err != nil {
		return err
	}
	if err := WriteFrame(h.w, append(bytes.Clone(challengePrefix), h.sent...)); err != nil {
		return err
	}
	got, err := h.r.Next()
	if err != nil {
		return err
	}
	if !h.Verify(h.sent, got) {
		return errors.Join(fmt.Errorf("%w: the peer has another key", ErrAuth), WriteFrame(h.w, failure))
	}
	return WriteFrame(h.w, welcome)
}

// answer proves our key to the peer.
func (h *handshake) answer() error {
	got, err := h.r.Next()
	if err != nil {
		return err
	}
	message, ok := bytes.CutPrefix(got, challengePrefix)
	if !ok {
		return fmt.Errorf("%w: the peer sent no challenge; does it want a key at all?", ErrAuth)
	}
	if bytes.Equal(message, h.sent) {
		return fmt.Errorf("%w: the peer sent our own challenge back", ErrAuth)
	}
	mac, err := h.Mac(message)
	if err != nil {
		return err
	}
	if err := WriteFrame(h.w, mac); err != nil {
		return err
	}
	if got, err = h.r.Next(); err != nil {
		return err
	}
	if !bytes.Equal(got, welcome) {
		return fmt.Errorf("%w: the peer does not accept our key", ErrAuth)
	}
	return nil
}
