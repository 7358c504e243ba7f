package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/process"
	"github.com/tristrand/tristrand/shm"
)

var double = tristrand.Define("example.double", func(_ context.Context, n int) (int, error) {
	if n == 13 {
		os.Exit(13) // takes its worker along, and nothing else
	}
	return 2 * n, nil
})

func ExamplePool() {
	ctx := context.Background()
	pool := &process.Pool{Workers: 2}
	defer pool.Close(ctx)
	for n, err := range double.Map(ctx, pool, slices.Values([]int{1, 2, 13, 4})) {
		if exit, ok := errors.AsType[*process.ExitError](err); ok {
			fmt.Println(exit.Kind, exit.Code)
			continue
		}
		fmt.Println(n, err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
	// exit 13
	// 8 <nil>
}

// A job's input with what processes share.
type counting struct {
	Lock  *shm.Lock
	Count *shm.Array[int64]
}

var count = tristrand.Define("example.count", func(ctx context.Context, in counting) (int, error) {
	return 0, tristrand.With(ctx, in.Lock, func(context.Context) error {
		n, err := in.Count.At(0)
		if err != nil {
			return err
		}
		return in.Count.Set(0, n+1)
	})
})

func ExamplePool_sharedMemory() {
	ctx := context.Background()
	pool := &process.Pool{Workers: 2}
	defer pool.Close(ctx)
	lock, err := shm.NewLock("tally")
	if err != nil {
		fmt.Println(err)
		return
	}
	numbers, err := shm.NewArray[int64](4)
	if err != nil {
		fmt.Println(err)
		return
	}
	in := counting{lock, numbers}
	for _, err := range count.Map(ctx, pool, slices.Values([]counting{in, in, in, in, in})) {
		if err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(numbers.At(0))
	// Output: 5 <nil>
}

var endless = tristrand.Define("example.endless", func(context.Context, int) (int, error) {
	for n := 0; ; n++ {
	}
})

func ExampleStart() {
	ctx := context.Background()
	p, err := process.Start(ctx, endless.Bind(0), process.Daemon())
	if err != nil {
		fmt.Println(err)
		return
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(errors.Is(p.Join(short), context.DeadlineExceeded), p.Alive())
	p.Kill()
	_ = p.Join(ctx) // an *ExitError
	fmt.Println(p.Alive(), p.ExitCode())
	// Output:
	// true true
	// false -9
}

func ExamplePython() {
	hypot := pyHypot // process.PythonTask[process.Args, float64]("math:hypot"), in a package variable
	ctx := context.Background()
	python := &process.Python{Workers: 2}
	defer python.Close(ctx)
	fmt.Println(hypot.Call(ctx, python, process.Args{Args: []any{3, 4}}))
}
