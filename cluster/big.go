package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// Bodies above bigBody are stored beside their job or result, in parts, as a message has
// at most a megabyte.
const (
	bigBody = 512 << 10
	bigPart = 256 << 10
	maxBig  = 4 << 30
)

// putBig stores data under a name.
func (c *Cluster) putBig(ctx context.Context, name string, data []byte) error {
	if int64(len(data)) > maxBig {
		return fmt.Errorf("cluster: %d bytes are more than a job can carry, which is %d: send where they are instead", len(data), int64(maxBig))
	}
	if err := c.ensure(ctx, streamBig); err != nil {
		return err
	}
	const ahead = 8 // parts at once
	var mu sync.Mutex
	var failed error
	n := (len(data) + bigPart - 1) / bigPart
	for from := 0; from < n; from += ahead {
		left := min(ahead, n-from)
		err := await(ctx, "the storing of a large value", func(done func()) {
			waiting := left
			for i := from; i < from+min(ahead, n-from); i++ {
				part := data[i*bigPart : min((i+1)*bigPart, len(data))]
				var hdr nats.Header
				if i == 0 {
					hdr = nats.Header{"Tri-Parts": []string{strconv.Itoa(n)}}
				}
				c.link.send(c.subject("g."+name+"."+strconv.Itoa(i)), hdr, part, storeWait, func(m *nats.Msg, err error) {
					_, err = readReceipt(m, err)
					mu.Lock()
					failed = errors.Join(failed, err)
					waiting--
					last := waiting == 0
					mu.Unlock()
					if last {
						done()
					}
				})
			}
		})
		if err == nil {
			mu.Lock()
			err = failed
			mu.Unlock()
		}
		if err != nil {
			return fmt.Errorf("cluster: a value of %d bytes was not stored: %w", len(data), err)
		}
	}
	return nil
}

// getBig reads what is stored under a name.
func (c *Cluster) getBig(ctx context.Context, name string) ([]byte, error) {
	var all bytes.Buffer
	for i, n := 0, 1; i < n; i++ {
		m, err := c.link.last(ctx, c.stream(streamBig), c.subject("g."+name+"."+strconv.Itoa(i)))
		if err == nil && m == nil {
			err = errors.New("it is not there any more")
		}
		if err != nil {
			return nil, fmt.Errorf("cluster: the large value %s: %w", name, err)
		}
		if i == 0 {
			if n, err = strconv.Atoi(m.header("Tri-Parts")); err != nil || n < 1 || n > maxBig/bigPart+1 {
				return nil, fmt.Errorf("cluster: the large value %s is not one", name)
			}
		}
		all.Write(m.Data)
	}
	return all.Bytes(), nil
}

// dropBig deletes what is stored under a name, some time.
func (c *Cluster) dropBig(name string) {
	c.link.send("$JS.API.STREAM.PURGE."+c.stream(streamBig), nil, []byte(`{"filter":"`+c.subject("g."+name+".*")+`"}`), storeWait, func(*nats.Msg, error) {})
}
