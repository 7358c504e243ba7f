package rows

import (
	"net"
	"os"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

const noRawFile = measure.MissingError("sockets have no blocking calls here")

type rawFile uintptr

func (rawFile) Read([]byte) (int, error) { return 0, noRawFile }

func (rawFile) Write([]byte) (int, error) { return 0, noRawFile }

func blocking(*net.UnixConn) (*os.File, error) { return nil, noRawFile }
