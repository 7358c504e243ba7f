package host

import (
	"math"
	"math/big"
	"time"

	"github.com/tristrand/tristrand/internal/pickle"
)

// integer returns what Python takes for an index: an int or a bool.
func integer(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case *big.Int:
		if v.Sign() < 0 {
			return math.MinInt64, nil
		}
		return math.MaxInt64, nil
	default:
		return 0, typeError("'%s' object cannot be interpreted as an integer", pickle.TypeName(v))
	}
}

// truth is bool(v).
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	default:
		return true
	}
}

// maxSeconds is the longest time-out that Python takes for a lock.
const maxSeconds = math.MaxInt64 / 1e9

// seconds returns a time-out: a number of seconds.
func seconds(v any) (time.Duration, error) {
	var f float64
	switch v := v.(type) {
	case int64:
		f = float64(v)
	case bool:
		if v {
			f = 1
		}
	case float64:
		f = v
	case *big.Int:
		f, _ = new(big.Float).SetInt(v).Float64()
	default:
		return 0, typeError("'%s' object cannot be interpreted as a number of seconds", pickle.TypeName(v))
	}
	switch {
	case math.IsNaN(f):
		return 0, valueError("Invalid value NaN (not a number)")
	case f > maxSeconds || f < -maxSeconds:
		return 0, exception("OverflowError", "timeout value is too large")
	}
	return time.Duration(f * float64(time.Second)), nil
}

// patience is how long a call may wait: block false is not at all, forever
// without an end.
type patience struct {
	block   bool
	forever bool
	d       time.Duration
}

// lockPatience reads acquire's arguments as threading.Lock has them: -1 is for
// ever.
func lockPatience(block, timeout any) (patience, error) {
	p := patience{block: !given(block) || truth(block), forever: true}
	if !given(timeout) || timeout == nil {
		if given(timeout) {
			return p, typeError("'NoneType' object cannot be interpreted as an integer or float")
		}
		return p, nil
	}
	d, err := seconds(timeout)
	switch {
	case err != nil:
		return p, err
	case d == -time.Second:
		return p, nil
	case !p.block:
		return p, valueError("can't specify a timeout for a non-blocking call")
	case d < 0:
		return p, valueError("timeout value must be a non-negative number")
	}
	p.forever, p.d = false, d
	return p, nil
}

// timeout reads a time-out that may be None, and that may have passed.
func timeout(v any) (patience, error) {
	if !given(v) || v == nil {
		return patience{block: true, forever: true}, nil
	}
	d, err := seconds(v)
	if err != nil {
		return patience{}, err
	}
	return patience{block: d > 0, d: d}, nil
}
