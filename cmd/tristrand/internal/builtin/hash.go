package builtin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/strand"
)

// hashBlock is how much is read between two looks at ctx.
const hashBlock = 256 << 10

// Hash gives the SHA-256 of a file, read block by block.
var Hash = tristrand.Define("tristrand.hash", hash)

func hash(ctx context.Context, path string) (Outcome, error) {
	f, err := os.Open(path)
	if err != nil {
		err = fmt.Errorf("hash: %w", err)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			err = tristrand.Permanent(err)
		}
		return Outcome{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return Outcome{}, tristrand.Permanent(fmt.Errorf("hash %s: it is a directory; name its files", path))
	}
	sum, block, read := sha256.New(), make([]byte, hashBlock), int64(0)
	for {
		if err := strand.Yield(ctx); err != nil {
			return Outcome{Bytes: read}, err
		}
		n, err := f.Read(block)
		sum.Write(block[:n])
		read += int64(n)
		if errors.Is(err, io.EOF) {
			return Outcome{Text: hex.EncodeToString(sum.Sum(nil)), Bytes: read}, nil
		}
		if err != nil {
			return Outcome{Bytes: read}, fmt.Errorf("hash: after %d bytes: %w", read, err)
		}
	}
}
