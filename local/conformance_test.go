package local_test

import (
	"context"
	"testing"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/conformance"
	"github.com/tristrand/tristrand/local"
)

func TestConformance(t *testing.T) {
	var o conformance.Options
	t.Run("Lock", func(t *testing.T) {
		conformance.Lock(t, func(context.Context, testing.TB) tristrand.Locker { return new(local.Lock) }, o)
	})
	t.Run("RLock", func(t *testing.T) {
		conformance.RLock(t, func(context.Context, testing.TB) tristrand.Locker { return new(local.RLock) }, o)
	})
}
