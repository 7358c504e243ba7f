package rows

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tristrand/tristrand/bench/internal/measure"
	"github.com/tristrand/tristrand/strand"
)

// BenchmarkRows runs every side of every row that works in this process, for
// profiles:
//
//	go test ./internal/rows -run '^$' -bench 'Rows/row=fire$/side=thread.Pool' -cpuprofile cpu.out
//
// A side is given b.N operations in one go, as the table gives them, so that
// ns/op and allocs/op are for one of them: under b.Loop they would be for a run.
func BenchmarkRows(b *testing.B) {
	seen := make(map[string]bool)
	for _, row := range All(Options{}) {
		group := groupOf(row)
		for _, impl := range []measure.Impl{row.Ours, row.Peer, row.Floor} {
			name := fmt.Sprintf("row=%s/side=%s", group, impl.Name)
			if impl.Name == "" || impl.N > 0 || seen[name] {
				continue
			}
			seen[name] = true
			b.Run(name, func(b *testing.B) { benchmark(b, impl) })
		}
	}
}

func benchmark(b *testing.B, impl measure.Impl) {
	ctx, leave := strand.Adopt(context.WithoutCancel(b.Context()), "bench") // as the table does
	defer leave()
	t, err := impl.Open(ctx)
	if errors.As(err, new(measure.MissingError)) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	if _, err := t.Run(1 + b.N/20); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := t.Run(b.N); err != nil {
		b.Error(err)
	}
	b.StopTimer()
	if t.Close != nil {
		if err := t.Close(); err != nil {
			b.Error(err)
		}
	}
}
