package coroutines_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tristrand/tristrand/coro"
)

// C03: two loops, one after the other, and interleaved by a switch at each step:
// to switch is not free, and gains nothing for work that never waits.
func TestInterleavedLoops(t *testing.T) {
	const steps = 100_000
	plain := func() (sum, product int) {
		product = 1
		for i := range steps {
			sum += i
		}
		for i := range steps {
			product *= i | 1
		}
		return sum, product
	}
	interleaved := func() (sum, product int, err error) {
		product = 1
		var adds, multiplies *coro.Greenlet
		adds = coro.New(func(any) (any, error) {
			for i := range steps {
				sum += i
				if _, err := multiplies.Switch(nil); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		multiplies = coro.New(func(any) (any, error) {
			for i := range steps {
				product *= i | 1
				if _, err := adds.Switch(nil); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		_, err = adds.Switch(nil)
		return sum, product, errors.Join(err, multiplies.Close())
	}
	began := time.Now()
	sum, product := plain()
	alone := time.Since(began)
	began = time.Now()
	sum2, product2, err := interleaved()
	switched := time.Since(began)
	if err != nil || sum2 != sum || product2 != product {
		t.Errorf("got %d, %d, %v, want %d, %d", sum2, product2, err, sum, product)
	}
	t.Logf("%d steps: plain %v, interleaved %v, a switch %v", 2*steps, alone, switched, (switched-alone)/(2*steps))
}
