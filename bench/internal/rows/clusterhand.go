package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/cluster"
)

// The loop that one would write by hand on the same server: jobs in a work queue; a
// worker that takes them, publishes each result once, to a subject that is stored and
// pushed, and acknowledges the job when the result is stored. It is written twice: with
// goroutines that each wait for what they publish to be stored, as our Submit does, and
// with one that only keeps a window of what is under way, which is as fast as it gets.
const (
	handStream  = "HAND"
	handResults = "HANDRES"
	handWindow  = 1000 // jobs whose results are waited for, and publications under way
)

// handWorker is the worker: its argument is the address of the server, and after a comma
// "window" or "each".
func handWorker(ctx context.Context, w io.Writer, arg string) error {
	url, how, _ := strings.Cut(arg, ",")
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(handWindow))
	if err != nil {
		return err
	}
	cons, err := js.Consumer(ctx, handStream, "w")
	if err != nil {
		return err
	}
	do := handleEach(ctx, js)
	if how == "window" {
		do = handleWindow(js)
	}
	run, err := cons.Consume(do, jetstream.PullMaxMessages(handWindow))
	if err != nil {
		return err
	}
	defer run.Stop()
	fmt.Fprintln(w, "ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func handResult(m jetstream.Msg) *nats.Msg {
	out := nats.NewMsg("res." + m.Headers().Get("Nats-Msg-Id"))
	out.Data = m.Data()
	return out
}

// handleEach runs jobs on as many goroutines as our worker has slots.
func handleEach(ctx context.Context, js jetstream.JetStream) jetstream.MessageHandler {
	jobs := make(chan jetstream.Msg)
	for range clusterSlots {
		go func() {
			for m := range jobs {
				if _, err := js.PublishMsg(ctx, handResult(m)); err == nil {
					_ = m.Ack() // else it comes again
				}
			}
		}()
	}
	return func(m jetstream.Msg) { jobs <- m }
}

// handleWindow runs jobs where they arrive, and acknowledges them on another goroutine.
func handleWindow(js jetstream.JetStream) jetstream.MessageHandler {
	type doing struct {
		m  jetstream.Msg
		ok jetstream.PubAckFuture
	}
	acks := make(chan doing, handWindow)
	go func() {
		for d := range acks {
			select {
			case <-d.ok.Ok():
				_ = d.m.Ack() // else it comes again
			case <-d.ok.Err(): //nolint:errcheck // it comes again, too
			}
		}
	}()
	return func(m jetstream.Msg) {
		if ok, err := js.PublishMsgAsync(handResult(m), jetstream.WithStallWait(time.Minute)); err == nil {
			acks <- doing{m, ok}
		}
	}
}

// handMany makes an impl of that loop, under a server like ours.
func handMany(o Options, d cluster.Durability, how string) measure.Impl {
	return measure.Impl{Name: "hand-written-" + how, Open: func(ctx context.Context) (measure.Trial, error) {
		c, err := openCluster(ctx, o, d) // for its server
		if err != nil {
			return measure.Trial{}, err
		}
		h, err := openHand(ctx, o, c.URL(), how)
		if err != nil {
			return measure.Trial{}, errors.Join(err, c.Close(ctx))
		}
		run := h.each
		if how == "window" {
			run = h.window
		}
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return run(ctx, n) }),
			Close: func() error { h.nc.Close(); return errors.Join(h.worker.kill(), c.Close(ctx)) },
		}, nil
	}}
}

type hand struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	worker *program
	got    chan *nats.Msg
	next   int
}

func openHand(ctx context.Context, o Options, url, how string) (*hand, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	h := &hand{nc: nc, got: make(chan *nats.Msg, 2*handWindow)}
	if h.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(handWindow)); err != nil {
		return nil, err
	}
	_, err = h.js.CreateStream(ctx, jetstream.StreamConfig{Name: handStream, Subjects: []string{"job"}, Retention: jetstream.WorkQueuePolicy})
	if err != nil {
		return nil, err
	}
	_, err = h.js.CreateStream(ctx, jetstream.StreamConfig{Name: handResults, Subjects: []string{"res.>"}, MaxAge: time.Hour, Duplicates: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	_, err = h.js.CreateConsumer(ctx, handStream, jetstream.ConsumerConfig{Durable: "w", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		return nil, err
	}
	if _, err := nc.ChanSubscribe("res.>", h.got); err != nil {
		return nil, err
	}
	h.worker, err = startSide(ctx, o, "cluster-hand", url+","+how)
	return h, err
}

// take waits for results, and checks them.
func (h *hand) take(n int) error {
	for i := range n {
		select {
		case m := <-h.got:
			if err := echoed(m.Data, nil); err != nil {
				return err
			}
		case <-time.After(time.Minute):
			return fmt.Errorf("%d of %d results have come", i, n)
		}
	}
	return nil
}

// each has goroutines submit jobs, each waiting until the one before is stored.
func (h *hand) each(ctx context.Context, n int) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, clusterSubmitters)
	first := h.next
	h.next += n
	for i := range errs {
		wg.Go(func() {
			for errs[i] == nil {
				k := int(next.Add(1))
				if k > n {
					return
				}
				_, errs[i] = h.js.Publish(ctx, "job", payload100, jetstream.WithMsgID(strconv.Itoa(first+k)))
			}
		})
	}
	err := h.take(n)
	wg.Wait()
	return errors.Join(err, errors.Join(errs...))
}

// window submits jobs, as many at once as the window, and takes the results.
func (h *hand) window(_ context.Context, n int) error {
	for sent, got := 0, 0; got < n; got++ {
		for sent < n && sent-got < handWindow {
			h.next++
			if _, err := h.js.PublishAsync("job", payload100, jetstream.WithMsgID(strconv.Itoa(h.next)), jetstream.WithStallWait(time.Minute)); err != nil {
				return err
			}
			sent++
		}
		if err := h.take(1); err != nil {
			return err
		}
	}
	return nil
}
