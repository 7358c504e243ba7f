package portable

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tristrand/tristrand/internal/parcel"
)

const module = "github.com/tristrand/tristrand"

var (
	carrierType = reflect.TypeFor[parcel.Carrier]()
	cborType    = reflect.TypeFor[cbor.Marshaler]()
	binaryType  = reflect.TypeFor[encoding.BinaryMarshaler]()
	bigType     = reflect.TypeFor[big.Int]() // the encoder knows it
)

// isCarrier reports whether values of t, or pointers to them, are carriers.
func isCarrier(t reflect.Type) bool { return implements(t, carrierType) }

// opaque reports whether t encodes itself.
func opaque(t reflect.Type) bool {
	return t == bigType || implements(t, cborType) || implements(t, binaryType)
}

func implements(t, what reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false // what is in it decides
	}
	return t.Implements(what) || t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(what)
}

// singleProcess says why t cannot be used by several processes, "" if it can.
func singleProcess(t reflect.Type) string {
	if why := ours(t); why != "" {
		return why
	}
	if t.Kind() == reflect.Chan {
		return fmt.Sprintf("%v lives in one process; use shm.Queue or process.Pipe", t)
	}
	switch name := t.String(); t.PkgPath() {
	case "sync":
		switch t.Name() {
		case "Mutex", "RWMutex", "Locker":
			return alive(name, "use shm.Lock")
		case "WaitGroup":
			return alive(name, "use shm.Semaphore or shm.Barrier")
		case "Cond":
			return alive(name, "use shm.Condition")
		}
		return alive(name, "send what it holds")
	case "sync/atomic":
		return alive(name, "use shm.Value, or send the number that it holds")
	case "os":
		if t.Name() == "File" {
			return alive(name, "send its name, or use process.Pipe")
		}
	case "context":
		return alive(name, "the job's own ctx arrives by itself")
	case "reflect":
		return alive(name, "send the value itself")
	}
	return ""
}

// ours is singleProcess for the types of this library.
func ours(t reflect.Type) string {
	pkg, ok := strings.CutPrefix(t.PkgPath(), module)
	if !ok || t.Kind() == reflect.Interface || opaque(t) {
		return ""
	}
	name, _, generic := strings.Cut(t.Name(), "[")
	full := strings.TrimPrefix(pkg+"."+name, "/")
	if generic {
		full += "[…]"
	}
	switch pkg {
	case "/local":
		return alive(full, "use shm."+name)
	case "/thread":
		switch name {
		case "Local":
			return alive(full, "send the value that it has here")
		case "GIL":
			return alive(full, "use shm.Lock")
		case "Thread", "Timer", "Pool":
			return alive(full, "start one where the job runs")
		}
	case "/coro", "/process", "/cluster", "/server", "/manager":
		switch name {
		case "Pool", "Process", "Greenlet", "Generator", "Server":
			return alive(full, "start one where the job runs")
		}
	case "/strand":
		switch name {
		case "Strand", "Context", "Wait":
			return alive(full, "the job has its own there")
		}
	case "":
		switch name {
		case "Future", "Group", "Task":
			return alive(strings.TrimPrefix(t.String(), "*"), "send its result, or do its work where the job runs")
		}
	}
	return ""
}

func alive(name, instead string) string { return name + " lives in one process; " + instead }

// cannotEncode says why a value of t has no encoding.
func cannotEncode(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Func:
		return fmt.Sprintf("%v is a function, and code is not sent; define a task and send its name", t)
	case reflect.UnsafePointer:
		return fmt.Sprintf("%v is an address, which means nothing in another process", t)
	default:
		return fmt.Sprintf("%v has no encoding; send its parts as two floats", t)
	}
}
