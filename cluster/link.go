package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// A link is the connection, with requests whose answers wake strands by the waist: none
// blocks a goroutine, so they may be made in a hub.
type link struct {
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription

	mu     sync.Mutex // guards the rest
	next   uint64
	calls  map[string]*request
	closed bool
	cut    time.Time // when the connection was lost last
	stop   chan struct{}
	swept  chan struct{}
}

// A request waits for its answer.
type request struct {
	done func(*nats.Msg, error) // on the goroutine of the link; it must not block
	sent time.Time
	due  time.Time
}

// sweepEvery is how often requests are looked at that have had no answer in time.
const sweepEvery = 50 * time.Millisecond

// The errors of requests.
var (
	errNoAnswer     = errors.New("cluster: the server did not answer in time")
	errNoResponders = errors.New("cluster: nobody listens")
	errLinkClosed   = fmt.Errorf("cluster: the connection is closed: %w", tristrand.ErrClosed)
)

// newID returns a name that nobody else has.
func newID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // it never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// newLink returns a link without a connection, for whom a connection is to tell what
// becomes of it.
func newLink() *link {
	return &link{inbox: nats.NewInbox() + ".", calls: make(map[string]*request), stop: make(chan struct{}), swept: make(chan struct{})}
}

// begin gives it the connection.
func (l *link) begin(nc *nats.Conn) error {
	sub, err := nc.Subscribe(l.inbox+"*", l.answered)
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	l.nc, l.sub = nc, sub
	go l.sweep()
	return nil
}

// answered takes an answer.
func (l *link) answered(m *nats.Msg) {
	token := m.Subject[len(l.inbox):]
	l.mu.Lock()
	r := l.calls[token]
	delete(l.calls, token)
	l.mu.Unlock()
	switch {
	case r == nil: // too late
	case len(m.Data) == 0 && m.Header.Get("Status") == "503":
		r.done(nil, errNoResponders)
	default:
		r.done(m, nil)
	}
}

// sweep gives requests up whose time is up.
func (l *link) sweep() {
	defer close(l.swept)
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case now := <-t.C:
			var late []*request
			l.mu.Lock()
			for token, r := range l.calls {
				if now.After(r.due) {
					late = append(late, r)
					delete(l.calls, token)
				}
			}
			l.mu.Unlock()
			for _, r := range late {
				r.done(nil, errNoAnswer)
			}
		}
	}
}

// broken notes that the connection is lost.
func (l *link) broken() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = time.Now()
}

// mended gives up the requests that were sent before the connection was lost: their answers
// will not come. Those sent since go out now.
func (l *link) mended() {
	var lost []*request
	l.mu.Lock()
	for token, r := range l.calls {
		if r.sent.Before(l.cut) {
			lost = append(lost, r)
			delete(l.calls, token)
		}
	}
	l.mu.Unlock()
	for _, r := range lost {
		r.done(nil, errNoAnswer)
	}
}

// close ends all requests.
func (l *link) close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	calls := l.calls
	l.calls = nil
	l.mu.Unlock()
	close(l.stop)
	<-l.swept
	for _, r := range calls {
		r.done(nil, errLinkClosed)
	}
}

// send sends a request; done is called exactly once, with the answer or an error, and
// never by send itself.
func (l *link) send(subject string, hdr nats.Header, data []byte, within time.Duration, done func(*nats.Msg, error)) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		go done(nil, errLinkClosed)
		return
	}
	now := time.Now()
	l.next++
	token := strconv.FormatUint(l.next, 36)
	l.calls[token] = &request{done: done, sent: now, due: now.Add(within)}
	l.mu.Unlock()
	err := l.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: l.inbox + token, Header: hdr, Data: data})
	if err == nil {
		return
	}
	l.mu.Lock()
	r := l.calls[token]
	delete(l.calls, token)
	l.mu.Unlock()
	if r != nil {
		go done(nil, fmt.Errorf("cluster: %s: %w", subject, err))
	}
}

// A pending is what a strand waits for that waits for an answer.
type pending string

func (p pending) String() string { return string(p) }

// Releasers says that anyone could end the wait.
func (p pending) Releasers(buf []strand.Releaser) ([]strand.Releaser, bool) { return buf, false }

// call is send that waits for the answer.
func (l *link) call(ctx context.Context, what, subject string, hdr nats.Header, data []byte, within time.Duration) (*nats.Msg, error) {
	var msg *nats.Msg
	var failed error
	err := await(ctx, what, func(done func()) {
		l.send(subject, hdr, data, within, func(m *nats.Msg, err error) {
			msg, failed = m, err
			done()
		})
	})
	if err != nil {
		return nil, err
	}
	return msg, failed
}

// await starts something and parks the caller until it is done, or ctx ends.
func await(ctx context.Context, what string, begin func(done func())) error {
	if err := strand.Err(ctx); err != nil {
		return err
	}
	w := strand.Current(ctx).NewWait()
	begin(func() { w.Grant() })
	return w.Park(ctx, pending(what))
}

// block runs fn, which blocks, on a goroutine of its own and waits for it; when ctx ends
// it does not wait any longer.
func block(ctx context.Context, what string, fn func(ctx context.Context) error) error {
	var failed error
	err := await(ctx, what, func(done func()) {
		go func() {
			failed = fn(ctx)
			done()
		}()
	})
	if err != nil {
		return err
	}
	return failed
}

// An APIError is what the store says is wrong.
type APIError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *APIError) Error() string {
	return fmt.Sprintf("cluster: the store says: %s (%d)", e.Description, e.ErrCode)
}

// The codes that are acted on.
const (
	codeStreamFull    = 10077 // maximum messages or bytes exceeded
	codeWrongLast     = 10071 // not the last sequence that was expected
	codeWrongConstant = 10164 // the same, or one that is being written
	codeNoMessage     = 10037
	codeNotDeleted    = 10043 // there is no such message
	codeNoStream      = 10059
	codeUnavailable   = 10008 // there is no leader of all
	codeNoLeader      = 10009 // of the stream
	codeNoRoom        = 10023 // insufficient resources
	codeNoPeers       = 10005 // too few servers for a stream's copies
	codeStoreFailed   = 10060 // the file could not be written
	codeUnderWay      = 10158 // the same message is being written
)

func hasCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && slices.Contains(codes, e.ErrCode)
}

// A receipt is the acknowledgement that something is stored.
type receipt struct {
	Error     *APIError `json:"error"`
	Seq       uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
	Value     string    `json:"val"`
}

func readReceipt(m *nats.Msg, err error) (receipt, error) {
	if err != nil {
		return receipt{}, err
	}
	if r, ok := quickReceipt(m.Data); ok {
		return r, nil
	}
	var r receipt
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r, fmt.Errorf("cluster: the store's acknowledgement cannot be read: %w", err)
	}
	if r.Error != nil {
		return r, r.Error
	}
	return r, nil
}

// quickReceipt reads the most common receipt, {"stream":"NAME", "seq":N}, which is that of
// every job and of every result.
func quickReceipt(data []byte) (r receipt, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return r, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`"`))
	if rest = bytes.TrimLeft(rest, ", "); !ok {
		return r, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`"seq":`)); !ok {
		return r, false
	}
	n, ok := bytes.CutSuffix(bytes.TrimLeft(rest, " "), []byte("}"))
	if !ok || len(n) == 0 || len(n) > 18 {
		return r, false
	}
	for _, c := range n {
		if c < '0' || c > '9' {
			return r, false
		}
		r.Seq = 10*r.Seq + uint64(c-'0')
	}
	return r, r.Seq > 0
}

// storeWait is how long the store has to answer. A new leader may take that long.
const storeWait = 12 * time.Second

// writeWait is after how long without an answer a write is made again that can be.
const writeWait = time.Second

// storeOnce publishes and waits until it is stored. It is not sent again.
func (l *link) storeOnce(ctx context.Context, what, subject string, hdr nats.Header, data []byte) (receipt, error) {
	return readReceipt(l.call(ctx, what, subject, hdr, data, storeWait))
}

// store publishes and waits until it is stored. It may be stored twice, so it is for what
// replaces itself, or has an ID.
func (l *link) store(ctx context.Context, what, subject string, hdr nats.Header, data []byte) (receipt, error) {
	for until := time.Now().Add(storeWait); ; {
		r, err := readReceipt(l.call(ctx, what, subject, hdr, data, 3*writeWait))
		if !errors.Is(err, errNoAnswer) && !hasCode(err, codeUnderWay) || time.Now().After(until) {
			return r, err
		}
		if err := strand.Sleep(ctx, reconnectWait); err != nil {
			return r, err
		}
	}
}

// ask asks the store's interface and decodes the answer into out, unless that is nil.
func (l *link) ask(ctx context.Context, what, subject string, in, out any, within time.Duration) error {
	var data []byte
	if in != nil {
		var err error
		if data, err = json.Marshal(in); err != nil {
			return err
		}
	}
	m, err := l.call(ctx, what, "$JS.API."+subject, nil, data, within)
	if err != nil {
		return err
	}
	return readAnswer(m, out)
}

func readAnswer(m *nats.Msg, out any) error {
	var failed struct {
		Error *APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return fmt.Errorf("cluster: the store's answer cannot be read: %w", err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, out); err != nil {
		return fmt.Errorf("cluster: the store's answer cannot be read: %w", err)
	}
	return nil
}

// A stored is a message as the store has it.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Hdrs    []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// header returns one of the message's headers.
func (s *stored) header(key string) string {
	for line := range strings.SplitSeq(string(s.Hdrs), "\r\n") {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(k, key) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// last returns the last message of a subject, nil if there is none.
func (l *link) last(ctx context.Context, stream, subject string) (*stored, error) {
	return l.get(ctx, stream, map[string]any{"last_by_subj": subject})
}

// erase deletes a message; one that is gone already is no error.
func (l *link) erase(ctx context.Context, stream string, seq uint64) error {
	err := l.ask(ctx, "a deletion in the cluster's store", "STREAM.MSG.DELETE."+stream, map[string]any{"seq": seq, "no_erase": true}, nil, storeWait)
	if hasCode(err, codeNoMessage, codeNotDeleted) {
		return nil
	}
	return err
}
