package coroutines_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// A slowDatabase answers every query with one row, "hello", when release is closed.
// It stands for any driver of package database/sql: what coroutines do with one is
// the same.
type slowDatabase struct{ release <-chan struct{} }

func (d slowDatabase) Connect(context.Context) (driver.Conn, error) { return slowConn(d), nil }
func (d slowDatabase) Driver() driver.Driver                        { return nil }

type slowConn slowDatabase

func (c slowConn) Close() error                        { return nil }
func (c slowConn) Begin() (driver.Tx, error)           { return nil, errNotThere }
func (c slowConn) Prepare(string) (driver.Stmt, error) { return nil, errNotThere }

var errNotThere = errors.New("this database only answers queries")

func (c slowConn) QueryContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	select {
	case <-c.release:
		return &oneRow{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type oneRow struct{ read bool }

func (r *oneRow) Columns() []string { return []string{"text"} }
func (r *oneRow) Close() error      { return nil }

func (r *oneRow) Next(dest []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, dest[0] = true, "hello"
	return nil
}
