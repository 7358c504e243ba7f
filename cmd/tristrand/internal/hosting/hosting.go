// Package hosting does what "tristrand manager" does: it serves objects, or shows
// those of a server.
package hosting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/tristrand/tristrand/manager"
)

// Key reads an authkey from a file; a newline at its end is none of it.
func Key(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--authkey-file: %w", err)
	}
	if key = bytes.TrimRight(key, "\r\n"); len(key) == 0 {
		return nil, fmt.Errorf("--authkey-file: %s is empty; it must hold the key that clients know", path)
	}
	return key, nil
}

// Objects reads what --object says: name=type, or name=type:N for a type that is
// made of a number.
func Objects(specs []string) ([]manager.Object, error) {
	var out []manager.Object
	for _, spec := range specs {
		name, what, ok := strings.Cut(spec, "=")
		if !ok || name == "" || what == "" {
			return nil, fmt.Errorf("--object=%s: want name=type, as in jobs=Queue or seats=Semaphore:3", spec)
		}
		o := manager.Object{Name: name}
		var number string
		if o.Type, number, ok = strings.Cut(what, ":"); ok {
			n, err := strconv.Atoi(number)
			if err != nil {
				return nil, fmt.Errorf("--object=%s: %q is not a whole number", spec, number)
			}
			o.Args = []any{n}
		}
		if o.Type == "Value" { // its first argument says nothing
			o.Args = append([]any{"O"}, append(o.Args, nil)[:1]...)
		}
		out = append(out, o)
	}
	return out, nil
}

// Serve serves until ctx ends or a client shuts the server down. Once it
// listens it says where.
func Serve(ctx context.Context, out io.Writer, address string, s *manager.Server, asJSON bool) error {
	l, err := manager.Listen(address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if err := say(out, l.Addr(), asJSON); err != nil {
		return errors.Join(err, l.Close())
	}
	if err = s.Serve(ctx, l); ctx.Err() == nil && !errors.Is(err, manager.ErrServerClosed) {
		return err
	}
	return nil // it was told to end
}

func say(out io.Writer, at net.Addr, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]string{"listening": at.String()})
	}
	_, err := fmt.Fprintln(out, "listening", at)
	return err
}

// Inspect shows the objects of a server.
func Inspect(ctx context.Context, out io.Writer, address string, o manager.DialOptions, asJSON bool) (err error) {
	c, err := manager.Dial(ctx, address, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	entries, err := c.Inspect(ctx)
	if errors.Is(err, errors.ErrUnsupported) { // CPython's
		info, err := c.Info(ctx)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(out).Encode(info)
		}
		_, err = fmt.Fprintf(out, "%d objects\n%s\n", info.Objects, info.Text)
		return err
	}
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(out)
		for _, e := range entries {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	return table(out, entries)
}

const textWidth = 60

func table(out io.Writer, entries []manager.Entry) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTYPE\tREFS\tHOLDER\tWAITERS\tVALUE")
	for _, e := range entries {
		text := []rune(e.Text)
		if len(text) > textWidth {
			text = append(text[:textWidth-1], '…')
		}
		dash := func(s string) string {
			if s == "" {
				return "-"
			}
			return s
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", e.ID, e.Type, e.Refs, dash(e.Holder), dash(strings.Join(e.Waiters, ", ")), string(text))
	}
	return w.Flush()
}
