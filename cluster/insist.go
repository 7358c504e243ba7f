package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A leader that is gone gives no answer to a read, and the next one does not know of the
// question: so it is asked again after askAgain, while an answer to what was asked before
// still counts, should the server only be slow. readWait is how long a single question has.
const (
	askAgain = 250 * time.Millisecond
	readWait = time.Second
)

// away reports whether an error says that a stream has no leader that answers, which is
// over when it has.
func away(err error) bool {
	return errors.Is(err, errNoAnswer) || errors.Is(err, errNoResponders) || hasCode(err, codeNoRoom, codeStoreFailed, codeUnavailable, codeNoLeader)
}

// get asks the leader of a stream for a message; what says which: by "seq", "last_by_subj",
// or "next_by_subj" from "seq" on. It returns nil if there is none.
func (l *link) get(ctx context.Context, stream string, which map[string]any) (*stored, error) {
	data, err := json.Marshal(which)
	if err != nil {
		return nil, err
	}
	q := &question{l: l, subject: "$JS.API.STREAM.MSG.GET." + stream, data: data, until: time.Now().Add(storeWait)}
	err = await(ctx, "a read of the cluster's store", func(done func()) {
		q.done = done
		q.ask()
	})
	q.end()
	if err == nil {
		err = q.err
	}
	switch {
	case hasCode(err, codeNoMessage):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var got struct {
		Message stored `json:"message"`
	}
	if err := json.Unmarshal(q.answer.Data, &got); err != nil {
		return nil, fmt.Errorf("cluster: the store's answer cannot be read: %w", err)
	}
	return &got.Message, nil
}

// A question is asked until there is an answer.
type question struct {
	l       *link
	subject string
	data    []byte
	until   time.Time
	done    func()

	mu     sync.Mutex // guards the rest
	over   bool
	timer  *time.Timer
	answer *nats.Msg
	err    error
}

func (q *question) ask() {
	q.l.send(q.subject, nil, q.data, storeWait, q.heard)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.over {
		q.timer = time.AfterFunc(askAgain, q.askAgain)
	}
}

func (q *question) askAgain() {
	switch {
	case time.Now().After(q.until):
		q.settle(nil, errNoAnswer)
	case !q.isOver():
		q.ask()
	}
}

// headOfAnswer is where an answer that is an error says so.
const headOfAnswer = 128

// heard takes an answer, unless it only says that there is nobody yet who could give one.
func (q *question) heard(m *nats.Msg, err error) {
	if err == nil && bytes.Contains(m.Data[:min(len(m.Data), headOfAnswer)], []byte(`"error":`)) {
		err = readAnswer(m, nil) // which it is decoded for only then, on the link's goroutine
	}
	if hasCode(err, codeUnavailable, codeNoLeader) || errors.Is(err, errNoAnswer) {
		return // it is asked again
	}
	q.settle(m, err)
}

func (q *question) settle(m *nats.Msg, err error) {
	q.mu.Lock()
	first := !q.over
	if first {
		q.over, q.answer, q.err = true, m, err
	}
	q.mu.Unlock()
	if first {
		q.done()
	}
}

func (q *question) isOver() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.over
}

// end stops asking.
func (q *question) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over = true
	if q.timer != nil {
		q.timer.Stop()
	}
}
