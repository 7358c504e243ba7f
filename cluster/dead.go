package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tristrand/tristrand/internal/wire"
)

// A DeadLetter is a job that the cluster has given up: its workers died of it, it failed at
// its last try or with nobody waiting for it, or no worker could run it.
type DeadLetter struct {
	ID      string // for RetryDead and DropDead
	Task    string
	Queue   string
	Reason  string
	Times   int // how often it was delivered
	Worker  string
	From    string // who submitted it
	At      time.Time
	Bytes   int
	Retries int
	seq     uint64
	frame   *frame
}

// A grave is a dead letter as it is stored.
type grave struct {
	Frame  *frame       `cbor:"1,keyasint"`
	Fault  *remoteFault `cbor:"2,keyasint"`
	Times  int          `cbor:"3,keyasint"`
	Worker string       `cbor:"4,keyasint"`
}

func (c *Cluster) graveSubject(f *frame) string {
	return c.subject("x." + orDefault(f.Queue, defaultName) + "." + f.id())
}

// bury stores a dead letter, and then calls done.
func (c *Cluster) bury(f *frame, why *remoteFault, times int, worker string, done func(error)) {
	go func() {
		ctx := context.Background()
		err := c.ensure(ctx, streamDead)
		for try := 0; err == nil && try < 5; try++ {
			_, err = c.link.store(ctx, "a dead letter", c.graveSubject(f), nil, encode(&grave{f, why, times, worker}))
			if err == nil || errors.Is(err, errLinkClosed) {
				break
			}
			time.Sleep(publishAgain)
		}
		done(err)
	}()
}

// DeadLetters yields the dead letters, the oldest first.
func (c *Cluster) DeadLetters(ctx context.Context) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for seq := uint64(1); ; {
			m, err := c.link.get(ctx, c.stream(streamDead), map[string]any{"seq": seq, "next_by_subj": c.subject("x.>")})
			if hasCode(err, codeNoStream) || err == nil && m == nil {
				return
			}
			if err != nil {
				yield(DeadLetter{}, fmt.Errorf("cluster: the dead letters: %w", err))
				return
			}
			seq = m.Seq + 1
			d, err := readGrave(m)
			if !yield(d, err) {
				return
			}
		}
	}
}

func readGrave(m *stored) (DeadLetter, error) {
	var g grave
	if err := wire.Decode(m.Data, &g); err != nil || g.Frame == nil || g.Fault == nil {
		return DeadLetter{ID: strconv.FormatUint(m.Seq, 10), seq: m.Seq, At: m.Time}, fmt.Errorf("cluster: the dead letter %d cannot be read: %w", m.Seq, errors.Join(err))
	}
	text := g.Fault.Text
	if g.Fault.Panic != nil && text == "" {
		text = faults.Err(g.Fault, g.Worker).Error()
	}
	f := g.Frame
	return DeadLetter{
		ID: f.id(), Task: f.Task, Queue: f.Queue, Reason: text, Times: g.Times, Worker: g.Worker, From: f.Host,
		At: m.Time, Bytes: len(f.Body), Retries: f.Retries, seq: m.Seq, frame: f,
	}, nil
}

// ErrNoLetter says that there is no dead letter of an ID.
var ErrNoLetter = errors.New("cluster: there is no such dead letter")

// find returns the dead letter of an ID.
func (c *Cluster) findDead(ctx context.Context, id string) (DeadLetter, error) {
	if strings.Count(id, ".") != 1 || strings.ContainsAny(id, "*> \t\r\n") {
		return DeadLetter{}, fmt.Errorf("%w: %q: an ID is two words with a dot between", ErrNoLetter, id)
	}
	m, err := c.link.last(ctx, c.stream(streamDead), c.subject("x.*."+id))
	if hasCode(err, codeNoStream) || err == nil && m == nil {
		return DeadLetter{}, fmt.Errorf("%w: %q", ErrNoLetter, id)
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("cluster: the dead letters: %w", err)
	}
	return readGrave(m)
}

// RetryDead puts the job of a dead letter into its queue again. Its former result is
// forgotten; who waited for that has it already.
func (c *Cluster) RetryDead(ctx context.Context, id string) error {
	d, err := c.findDead(ctx, id)
	if err != nil {
		return err
	}
	for _, kind := range []string{"r.", "b."} {
		m, err := c.link.last(ctx, c.stream(streamResults), c.subject(kind+id))
		if err == nil && m != nil {
			err = c.link.erase(ctx, c.stream(streamResults), m.Seq)
		}
		if err != nil {
			return err
		}
	}
	f := *d.frame
	f.Asks, f.Until = "", 0 // its submitter has been told
	kind := taskStream(0)
	if err := c.ensure(ctx, kind); err != nil {
		return err
	}
	hdr := nats.Header{"Nats-Msg-Id": []string{f.id() + "." + strconv.FormatUint(d.seq, 10)}}
	if _, err := c.link.store(ctx, "the storing of a job", c.taskSubject(kind, f.Queue, f.Level), hdr, encode(&f)); err != nil {
		return fmt.Errorf("cluster: the job %s was not stored: %w", id, err)
	}
	return c.link.erase(ctx, c.stream(streamDead), d.seq)
}

// DropDead forgets a dead letter.
func (c *Cluster) DropDead(ctx context.Context, id string) error {
	d, err := c.findDead(ctx, id)
	if err != nil {
		return err
	}
	if d.frame != nil && d.frame.Big != "" {
		c.dropBig(d.frame.Big)
	}
	return c.link.erase(ctx, c.stream(streamDead), d.seq)
}

// countBegin counts that a job which was in other hands before is begun again, or with by
// -1 that one has come to an end which its worker has lived to see, and tells how often it was
// begun that its end is not known of. The first time, of which there is no count, is not in it.
func (c *Cluster) countBegin(id string, by int, done func(int, error)) {
	go func() {
		ctx := context.Background()
		subject := c.subject("b." + id)
		for range 20 {
			m, err := c.link.last(ctx, c.stream(streamResults), subject)
			if err != nil {
				done(0, err)
				return
			}
			n, seq := 0, uint64(0)
			if m != nil {
				n, _ = strconv.Atoi(string(m.Data))
				seq = m.Seq
			}
			hdr := nats.Header{"Nats-Expected-Last-Subject-Sequence": []string{strconv.FormatUint(seq, 10)}}
			_, err = c.link.storeOnce(ctx, "the count of a job's beginnings", subject, hdr, []byte(strconv.Itoa(n+by)))
			if !hasCode(err, codeWrongLast, codeWrongConstant) {
				done(n+by, err)
				return
			}
		}
		done(0, errNoAnswer)
	}()
}
