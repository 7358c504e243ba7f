package coroutines_test

import (
	"os"
	"testing"

	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	process.Init() // a worker process of pages does not return from it
	os.Exit(m.Run())
}
