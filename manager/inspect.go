package manager

import (
	"context"
	"errors"

	"github.com/tristrand/tristrand/internal/pickle"
)

// An Info is what a server says of itself.
type Info struct {
	Objects int    // with references
	Text    string // CPython's debug_info: a few lines for each object
}

// Info asks the server what it holds.
func (c *Client) Info(ctx context.Context) (Info, error) {
	v, err := c.do(ctx, call{method: "number_of_objects"})
	if err != nil {
		return Info{}, err
	}
	var info Info
	if info.Objects, err = pickle.Get[int](v); err != nil {
		return info, err
	}
	if v, err = c.do(ctx, call{method: "debug_info"}); err != nil {
		return info, err
	}
	info.Text, err = pickle.Get[string](v)
	return info, err
}

// Attach returns a proxy for the object of an ident that the server gave to
// somebody else, and takes a reference.
func (c *Client) Attach(ctx context.Context, typeid, id string) (*Proxy, error) {
	if id == "" {
		return nil, errors.New("manager: Attach needs the ident of an object")
	}
	if _, err := c.do(ctx, call{method: "incref", args: pickle.Tuple{id}}); err != nil {
		return nil, err
	}
	return c.newProxy(typeid, id, nil), nil
}

// Shutdown asks the server to shut down.
func (c *Client) Shutdown(ctx context.Context) error {
	_, err := c.do(ctx, call{method: "shutdown"})
	return err
}
