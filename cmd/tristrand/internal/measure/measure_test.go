package measure_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tristrand/tristrand/cmd/tristrand/internal/measure"
)

const mega = 1 << 20

// touch makes a block of memory resident.
func touch(n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 512 {
		b[i] = 1
	}
	return b
}

func TestPeakIsOfOneMeasurementOnly(t *testing.T) {
	m := measure.Start()
	runtime.KeepAlive(touch(64 * mega))
	big := m.Stop()
	m = measure.Start()
	small := m.Stop()
	if big.Peak < small.Peak+40*mega {
		t.Errorf("64 MiB made the peak %d MiB, and doing nothing %d MiB", big.Peak/mega, small.Peak/mega)
	}
	if small.Peak == 0 {
		t.Error("no memory was measured at all")
	}
}

func TestBusyWorkCostsProcessorTime(t *testing.T) {
	m := measure.Start()
	for deadline := time.Now().Add(10 * time.Second); m.Used() < 50*time.Millisecond; {
		if time.Now().After(deadline) {
			t.Fatal("10 s of work used less than 50 ms of processor time")
		}
	}
	if c := m.Stop(); c.CPU < 50*time.Millisecond || c.Wall <= 0 {
		t.Errorf("cost = %+v, want at least 50 ms of processor time", c)
	}
}

// TestChildrenCount starts itself as a child that works and holds memory.
func TestChildrenCount(t *testing.T) {
	const role = "TRISTRAND_MEASURE_CHILD"
	if os.Getenv(role) != "" {
		held := touch(96 * mega)
		for m := measure.Start(); m.Used() < 200*time.Millisecond; {
		}
		runtime.KeepAlive(held)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("children are counted on Linux only")
	}
	m := measure.Start()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildrenCount$")
	cmd.Env = append(os.Environ(), role+"=1")
	out, err := cmd.CombinedOutput()
	c := m.Stop()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	if c.CPU < 200*time.Millisecond || c.Peak < 90*mega {
		t.Errorf("cost = %v of processor, %d MiB; the child alone took 200 ms and 96 MiB", c.CPU, c.Peak/mega)
	}
	if !strings.Contains(measure.PeakOf, "children") {
		t.Error("PeakOf does not say that children count")
	}
}
