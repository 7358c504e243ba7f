package process_test

import (
	"os"
	"testing"

	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	program()
	process.Init()
	os.Exit(m.Run())
}
