package server_test

import (
	"os"
	"testing"

	"github.com/tristrand/tristrand/process"
)

func TestMain(m *testing.M) {
	process.Init()
	os.Exit(m.Run())
}
