package launch_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/launch"
)

func BenchmarkTrue(b *testing.B) {
	path, err := launch.LookPath("true")
	if err != nil {
		b.Skip(err)
	}
	for _, grouped := range []bool{false, true} {
		name := map[bool]string{false: "output=inherited", true: "output=taken"}[grouped]
		b.Run(name, func(b *testing.B) {
			l := &launch.Launcher{}
			defer l.Close()
			b.ReportAllocs()
			b.SetParallelism(1)
			b.RunParallel(func(pb *testing.PB) {
				c := &launch.Command{Path: path, Args: []string{"true"}}
				if grouped {
					c.Stdout, c.Stderr = new(strings.Builder), new(strings.Builder)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				for pb.Next() {
					if exit, err := l.Run(ctx, c); err != nil || exit != (launch.Exit{}) {
						b.Error(exit, err)
					}
				}
			})
		})
	}
	_ = os.Stdout
}
