package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A varz is what a server says of itself.
type varz struct {
	Name      string `json:"server_name"`
	JetStream struct {
		Config *struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	} `json:"jetstream"`
}

// check says what is wrong with a server that shall write before it acknowledges.
func (v *varz) check() error {
	switch {
	case v.JetStream.Config == nil:
		return nil // it stores nothing
	case !v.JetStream.Config.SyncAlways:
		return fmt.Errorf("cluster: the server %s acknowledges before it has written to the disk: start it with sync_interval: always, or ask for less than Power", v.Name)
	default:
		return nil
	}
}

// provePower asks the servers whether they write to the disk before they acknowledge.
// Their word is needed: nothing that a client sees tells.
func (c *Cluster) provePower(ctx context.Context) error {
	all, err := c.askMonitors(ctx)
	if err == nil && len(all) == 0 {
		all, err = c.askServers()
	}
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("cluster: durability Power was asked for, and the servers do not tell whether they give it: name the addresses of their monitoring in Options.Monitor, connect as the system account, or ask for less")
	}
	for _, v := range all {
		if err := v.check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) askMonitors(ctx context.Context) ([]varz, error) {
	var all []varz
	for _, url := range c.opts.Monitor {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/varz", nil)
		if err != nil {
			return nil, fmt.Errorf("cluster: Options.Monitor: %w", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, fmt.Errorf("cluster: Options.Monitor: %w", err)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		var v varz
		if err == nil {
			err = json.Unmarshal(body, &v)
		}
		if err != nil || res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("cluster: Options.Monitor: %s says %s: %w", url, res.Status, err)
		}
		all = append(all, v)
	}
	return all, nil
}

// askServers asks all servers, which only the system account may.
func (c *Cluster) askServers() ([]varz, error) {
	sub, err := c.link.nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.link.nc.PublishRequest("$SYS.REQ.SERVER.PING.VARZ", sub.Subject, nil); err != nil {
		return nil, err
	}
	var all []varz
	for {
		m, err := sub.NextMsg(250 * time.Millisecond)
		if err != nil {
			return all, nil
		}
		var answer struct {
			Data varz `json:"data"`
		}
		if json.Unmarshal(m.Data, &answer) == nil && answer.Data.Name != "" {
			all = append(all, answer.Data)
		}
	}
}
