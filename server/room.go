package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tristrand/tristrand/local"
	"github.com/tristrand/tristrand/strand"
)

// A room is a server while it listens and serves.
type room struct {
	s       *Server
	core    *core
	model   Model
	sources []source
	at      net.Addr // of the first
	engine  engine
	serving bool // guarded by s.mu

	stop    chan struct{} // closed to stop accepting
	stopped sync.Once
	hurry   chan struct{} // closed when nobody waits for the draining any more
	hurried sync.Once
	why     error // for it; written before hurry is closed

	done local.Event // it is all over, and err is written
	err  error

	accepting sync.WaitGroup
	broken    chan error
}

func newRoom(ctx context.Context, s *Server) (*room, error) {
	r := &room{s: s, model: s.Model, stop: make(chan struct{}), hurry: make(chan struct{})}
	if r.model == nil {
		r.model = Threads{}
	}
	r.core = &core{conf: s.settings(), handler: s.Handler, onError: s.report()}
	if s.TLS != nil || s.CertFile != "" {
		files := tlsFiles{Cert: s.CertFile, Key: s.KeyFile, ClientCA: s.ClientCAFile}
		certs, err := newCertificates(s.TLS, files, func(err error) { r.core.onError(context.WithoutCancel(ctx), nil, err) })
		if err != nil {
			return nil, err
		}
		r.core.tls = certs
	}
	r.core.prepare()
	var err error
	if r.sources, err = s.open(ctx); err != nil {
		return nil, err
	}
	r.at = r.sources[0].addr()
	packets := r.sources[0].packets()
	if packets && r.core.tls != nil {
		r.close()
		return nil, errors.New("server: TLS is for streams; there is no DTLS here")
	}
	most := s.MaxConns
	if most == 0 && packets {
		most = defaultDatagrams
	}
	if b := r.model.bound(); b < 0 {
		r.close()
		return nil, fmt.Errorf("server: the model's Max is %d: it cannot be below 0", b)
	} else if b > 0 && (most == 0 || b < most) {
		most = b
	}
	if most > 0 {
		r.core.slots = newSlots(most)
	}
	r.broken = make(chan error, len(r.sources))
	return r, nil
}

// close closes the sockets.
func (r *room) close() {
	for _, src := range r.sources {
		src.close()
	}
}

// serve is Serve.
func (r *room) serve(ctx context.Context) error {
	r.wait(ctx, "end of the server", func() { r.err = r.toTheEnd(ctx) })
	_ = r.done.Set(ctx)
	return r.err
}

func (r *room) toTheEnd(ctx context.Context) error {
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	var err error
	if r.engine, err = r.model.open(base, r); err != nil {
		r.close()
		return err
	}
	for _, src := range r.sources {
		r.accepting.Go(func() { r.accept(base, src) })
	}
	over := make(chan struct{})
	defer close(over)
	unwatch := context.AfterFunc(ctx, func() { // it bounds a Shutdown that has begun before, too
		r.wake()
		t := time.NewTimer(r.s.DrainTimeout)
		defer t.Stop()
		select {
		case <-t.C:
			r.hasten(strand.Err(ctx))
		case <-over:
		}
	})
	defer unwatch()
	var broken error
	select {
	case <-r.stop:
	case broken = <-r.broken:
		r.wake()
		r.hasten(broken)
	}
	return errors.Join(broken, r.finish(cancel))
}

// wake stops accepting.
func (r *room) wake() { r.stopped.Do(func() { close(r.stop) }) }

// hasten ends the draining.
func (r *room) hasten(why error) {
	r.hurried.Do(func() {
		r.why = why
		close(r.hurry)
	})
}

// wait runs f, which blocks, so that the strand of ctx waits in the way that its
// scheduler wants.
func (r *room) wait(ctx context.Context, what string, f func()) {
	if strand.Current(ctx).Scheduler() == nil {
		f()
		return
	}
	over := local.Event{Name: what}
	go func() {
		f()
		_ = over.Set(context.WithoutCancel(ctx))
	}()
	_ = over.Wait(context.WithoutCancel(ctx))
}

// finish takes the server to its end: drain, stop, cut.
func (r *room) finish(cancel context.CancelCauseFunc) error {
	// 1. Nobody new, but those who are in the kernel's queue.
	for _, src := range r.sources {
		src.interrupt()
	}
	accepted := make(chan struct{})
	go func() {
		r.accepting.Wait()
		close(accepted)
	}()
	r.raise(levelDrain)

	// 2. Time for those who are served.
	select {
	case <-accepted:
		r.closeListeners()
		select {
		case <-r.core.drained():
		case <-r.hurry:
		}
	case <-r.hurry:
	}
	r.raise(levelStop)
	cancel(errStopped)
	<-accepted
	r.closeListeners()

	// 3. Grace.
	over := r.within(orDefault(r.s.Grace, defaultGrace))

	// 4. The end.
	var err error
	if !over {
		cut := &ShutdownError{Err: r.why, Cut: r.core.views()}
		r.core.count.cut.Add(uint64(len(cut.Cut)))
		r.raise(levelCut)
		if !r.within(cutTime) {
			cut.Running = len(r.core.living())
		}
		if len(cut.Cut) > 0 {
			err = cut
		}
	}
	r.close()
	return errors.Join(err, r.engine.close())
}

// closeListeners frees the address. Sockets of datagrams stay for the answers.
func (r *room) closeListeners() {
	for _, src := range r.sources {
		if !src.packets() {
			src.close()
		}
	}
}

// cutTime is how long handlers whose connections were cut are waited for.
const cutTime = time.Second

// within waits until no connection is left, for d at most.
func (r *room) within(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.core.drained():
		return true
	case <-t.C:
		select {
		case <-r.core.drained():
			return true
		default:
			return false
		}
	}
}

func (r *room) raise(level int32) {
	r.core.raise(level)
	r.engine.raise(level)
}

// shutdown is Shutdown of a server that serves.
func (r *room) shutdown(ctx context.Context) error {
	for _, c := range r.core.living() {
		if name := c.strand.Load(); name != nil && strand.Current(ctx).Kind() != strand.Nameless && *name == strand.Current(ctx).Name() {
			return errors.New("server: Shutdown was called by the handler of a connection, whose end it would wait for: call it on a goroutine of its own")
		}
	}
	r.wake()
	unwatch := context.AfterFunc(ctx, func() { r.hasten(strand.Err(ctx)) })
	defer unwatch()
	if err := r.done.Wait(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return r.err
}

// refuse closes a connection at once, and tells why by Refusal.
func (r *room) refuse(sock net.Conn) {
	r.core.count.refused.Add(1)
	if len(r.s.Refusal) > 0 {
		_ = sock.SetWriteDeadline(time.Now().Add(refuseTime))
		_, _ = sock.Write(r.s.Refusal)
	}
	_ = sock.Close()
}

// refuseTime bounds the wait of the Refusal for room in the kernel, which a new
// connection has.
const refuseTime = time.Millisecond
