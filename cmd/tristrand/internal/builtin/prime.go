package builtin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// primeCheck is how many divisions lie between two check-ins: about 0.3 ms.
const primeCheck = 1 << 17

// Prime tells whether a number up to 2⁶⁴-1 is prime, by trial division: slow
// on purpose, work for the processor and nothing else.
var Prime = tristrand.Define("tristrand.prime", prime)

func prime(ctx context.Context, number string) (Outcome, error) {
	number = strings.TrimSpace(number)
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Outcome{}, tristrand.Permanent(fmt.Errorf("prime: %q is not a whole number from 0 to 18446744073709551615", number))
	}
	if n < 2 {
		return Outcome{Text: number + " is not prime"}, nil
	}
	d, err := smallestDivisor(ctx, n)
	switch {
	case err != nil:
		return Outcome{}, err
	case d == n:
		return Outcome{Text: number + " is prime"}, nil
	default:
		return Outcome{Text: fmt.Sprintf("%d = %d × %d", n, d, n/d)}, nil
	}
}

// smallestDivisor returns the smallest divisor of n ≥ 2 above 1, which is n
// itself when n is prime. It tries 2, 3 and then the numbers next to the
// multiples of 6.
func smallestDivisor(ctx context.Context, n uint64) (uint64, error) {
	for _, d := range []uint64{2, 3} {
		if n%d == 0 {
			return d, nil
		}
	}
	for d := uint64(5); d <= n/d; {
		if err := strand.Yield(ctx); err != nil {
			return 0, err
		}
		for range primeCheck / 2 {
			if d > n/d {
				break
			}
			if n%d == 0 {
				return d, nil
			}
			if n%(d+2) == 0 {
				return d + 2, nil
			}
			d += 6
		}
	}
	return n, nil
}
