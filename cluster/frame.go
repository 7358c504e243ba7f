package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/internal/parcel"
	"github.com/tristrand/tristrand/internal/portable"
	"github.com/tristrand/tristrand/internal/registry"
	"github.com/tristrand/tristrand/internal/wire"
)

// Errors of jobs that package tristrand does not know of.
var (
	// ErrDead is that of a job that was given up: it was begun several times and its
	// worker died each time. It is a dead letter now.
	ErrDead = errors.New("cluster: the job was given up: its workers died")
	// ErrUnfit is that of a job that no worker could run: its task is not defined there,
	// or takes another input.
	ErrUnfit = errors.New("cluster: no worker can run the job")
)

// A frame is a job as it is stored. Its keys are part of what programs of different
// versions share: new ones may be added.
type frame struct {
	Task    string            `cbor:"1,keyasint"`
	Body    []byte            `cbor:"2,keyasint,omitempty"`
	Raw     bool              `cbor:"3,keyasint,omitempty"` // Body is a slice of bytes as it is
	Client  string            `cbor:"4,keyasint"`           // who waits for the result, "u" for an ID of the user's
	N       string            `cbor:"5,keyasint"`           // unique for the client
	Asks    string            `cbor:"6,keyasint,omitempty"` // whom to ask before it is begun
	Timeout time.Duration     `cbor:"7,keyasint,omitempty"`
	Retries int               `cbor:"8,keyasint,omitempty"`
	Until   int64             `cbor:"9,keyasint,omitempty"` // the deadline, nanoseconds of the servers' time
	Label   map[string]string `cbor:"10,keyasint,omitempty"`
	Values  map[string]string `cbor:"11,keyasint,omitempty"` // of propagators
	Big     string            `cbor:"12,keyasint,omitempty"` // where Body is, if it is large
	Queue   string            `cbor:"13,keyasint,omitempty"`
	Level   int               `cbor:"14,keyasint,omitempty"`
	Host    string            `cbor:"15,keyasint,omitempty"` // of the submitter, for people
	Times   int               `cbor:"16,keyasint,omitempty"` // how often it may be begun
}

// id returns the job's name in the cluster.
func (f *frame) id() string { return f.Client + "." + f.N }

// A result is what a job has come to, as it is stored.
type result struct {
	Body      []byte        `cbor:"1,keyasint,omitempty"`
	Raw       bool          `cbor:"2,keyasint,omitempty"`
	Fault     *remoteFault  `cbor:"3,keyasint,omitempty"`
	Failures  []itemFault   `cbor:"4,keyasint,omitempty"` // of a chunk
	Big       string        `cbor:"5,keyasint,omitempty"`
	Worker    string        `cbor:"6,keyasint,omitempty"`
	Host      string        `cbor:"7,keyasint,omitempty"` // of the worker, for people
	Ran       time.Duration `cbor:"8,keyasint,omitempty"`
	Abandoned int           `cbor:"9,keyasint,omitempty"` // functions that run on at the worker
}

// An itemFault is the error of one input of a chunk.
type itemFault struct {
	I     int          `cbor:"1,keyasint"`
	Fault *remoteFault `cbor:"2,keyasint"`
}

// What a worker tells whoever submitted a job, before there is a result.
type note struct {
	Op        int          `cbor:"1,keyasint"`
	Worker    string       `cbor:"2,keyasint"`
	Slots     int          `cbor:"3,keyasint,omitempty"`
	Abandoned int          `cbor:"4,keyasint,omitempty"`
	Jobs      []noteJob    `cbor:"5,keyasint,omitempty"`
	Data      []byte       `cbor:"6,keyasint,omitempty"` // of progress
	Fault     *remoteFault `cbor:"7,keyasint,omitempty"`
}

type noteJob struct {
	N     string `cbor:"1,keyasint"`
	Times int    `cbor:"2,keyasint,omitempty"` // how often it was delivered
	Copy  string `cbor:"3,keyasint,omitempty"` // which of those stored, if it was stored twice
}

// The notes.
const (
	noteBegin    = iota + 1 // may these begin? Answered by verdicts
	noteBack                // these have not begun, and go back to the queue
	noteFailed              // a try has failed; answered by one verdict
	noteProgress            // what the function says on its way
)

// A verdict answers a note, for each job of it.
type verdict struct {
	Do    int           `cbor:"1,keyasint"`
	Left  time.Duration `cbor:"2,keyasint,omitempty"` // until the deadline
	After time.Duration `cbor:"3,keyasint,omitempty"` // until another try
}

const (
	doRun   = iota + 1
	doDrop  // nobody wants it
	doAgain // try it again, after a pause
	doEnd   // it has failed for good
	doLeave // another has it: not a word about it to the store
)

// typicalBytes is the size of a small job.
const typicalBytes = 256

// encode returns v as bytes.
func encode(v any) []byte {
	var b bytes.Buffer
	b.Grow(typicalBytes)
	if err := wire.Encode(&b, v); err != nil {
		panic("tristrand: bug: " + err.Error()) // only our own types come here
	}
	return b.Bytes()
}

// The labels that calls of a cluster are given by; they do not travel as such.
const (
	labelPrefix = "tristrand.cluster."
	labelID     = labelPrefix + "id"
	labelAt     = labelPrefix + "at"
	labelAfter  = labelPrefix + "after"
)

// ID gives a job a name of the caller's. Of the jobs of a namespace that are submitted with
// one ID, only one runs, and all get its result, as long as that is kept: an hour, and two
// minutes for one that is not done.
func ID(id string) tristrand.CallOption { return tristrand.Label(labelID, id) }

// After makes a job wait for d, at the servers, before it may begin. Its submitter need not
// live as long.
func After(d time.Duration) tristrand.CallOption {
	return tristrand.Label(labelAfter, strconv.FormatInt(int64(d), 10))
}

// At makes a job wait until t, by the servers' clock. See Cluster.ServerTime.
func At(t time.Time) tristrand.CallOption {
	return tristrand.Label(labelAt, strconv.FormatInt(t.UnixNano(), 10))
}

// A call is what the options of a job say to the cluster.
type callOptions struct {
	id    string
	later bool
	at    time.Time     // of the servers, zero if after counts
	after time.Duration // from now
	label map[string]string
}

func optionsOf(l tristrand.Limits) (callOptions, error) {
	o := callOptions{label: l.Label}
	if len(l.Label) == 0 {
		return o, nil
	}
	o.id = l.Label[labelID]
	if s, ok := l.Label[labelAfter]; ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return o, fmt.Errorf("cluster: the label %s is %q, no number: use After", labelAfter, s)
		}
		o.later, o.after = n > 0, time.Duration(n)
	}
	if s, ok := l.Label[labelAt]; ok {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return o, fmt.Errorf("cluster: the label %s is %q, no number: use At", labelAt, s)
		}
		o.later, o.at = true, time.Unix(0, n)
	}
	o.label = maps.Clone(l.Label)
	maps.DeleteFunc(o.label, func(k, _ string) bool { return strings.HasPrefix(k, labelPrefix) })
	return o, nil
}

// pack encodes what v points at, which is called name in errors.
func pack(name string, v any) (body []byte, raw bool, err error) {
	if b, ok := wire.Raw(v); ok {
		return b, true, nil
	}
	var extra parcel.Parcel
	defer extra.Close()
	if err := portable.Pack(name, reflect.ValueOf(v).Elem().Interface(), &extra); err != nil {
		return nil, false, fmt.Errorf("%w: %w", tristrand.ErrNotPortable, err)
	}
	if !extra.Empty() {
		return nil, false, fmt.Errorf("%w: the %s has shared memory or a file in it, which other machines cannot have", tristrand.ErrNotPortable, name)
	}
	var b bytes.Buffer
	if err := wire.Encode(&b, v); err != nil {
		return nil, false, fmt.Errorf("the %s: %w", name, err)
	}
	return b.Bytes(), false, nil
}

// unpack decodes into what v points at. The bytes are its own from then on.
func unpack(body []byte, raw bool, v any) error {
	if !raw {
		return wire.Decode(body, v)
	}
	if !wire.SetRaw(v, bytes.Clone(body)) {
		return fmt.Errorf("it came as bytes and is %T here", v)
	}
	return nil
}

// newFrame encodes a job. The caller may change its input afterwards.
func newFrame(j tristrand.Job, o callOptions) (*frame, error) {
	if j.Task() == "" {
		return nil, tristrand.ErrNotPortable
	}
	f := &frame{Task: j.Task(), Label: o.label}
	var err error
	if f.Body, f.Raw, err = pack("input", j.Input()); err != nil {
		return nil, fmt.Errorf("cluster: task %q: %w", j.Task(), err)
	}
	if registry.Propagates() {
		f.Values = inject(j.Context())
	}
	l := j.Limits()
	f.Timeout, f.Retries = l.Timeout, l.Retries
	return f, nil
}

func inject(ctx context.Context) map[string]string {
	values := map[string]string{}
	registry.Inject(ctx, func(k, v string) { values[k] = v })
	return values
}

// decodeResult decodes a result into an output of j.
func (r *result) decode(j tristrand.Job) (out any, err error) {
	if r.Fault != nil && r.Body == nil {
		return nil, faults.Err(r.Fault, r.Host)
	}
	out = j.NewOutput()
	if o, ok := out.(tristrand.Outcomes); ok {
		if r.Fault != nil { // so far it came
			defer func() {
				if err == nil {
					err = faults.Err(r.Fault, r.Host)
				}
			}()
		}
		if err = wire.Decode(r.Body, o.Values()); err == nil {
			for _, f := range r.Failures {
				if f.Fault == nil {
					f.Fault = &remoteFault{Text: "cluster: an error that was not told"}
				}
				o.Fail(f.I, faults.Err(f.Fault, r.Host))
			}
			return out, nil
		}
	} else {
		err = unpack(r.Body, r.Raw, out)
	}
	if err != nil {
		return nil, fmt.Errorf("cluster: task %q: the result of worker %s cannot be decoded: %w: are both of one version of the program?", j.Task(), r.Host, err)
	}
	return out, nil
}
