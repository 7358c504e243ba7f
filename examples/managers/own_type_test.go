package managers_test

import (
	"sync"
	"testing"

	"github.com/tristrand/tristrand/manager"
)

// An account is an object of the program's own. Clients call its methods, in
// Python by their Python names: deposit, balance.
type account struct {
	mu  sync.Mutex
	sum int
}

// Deposit adds to the account.
func (a *account) Deposit(n int) error {
	if n <= 0 {
		return &manager.PythonError{Class: "ValueError", Args: []any{"a deposit is above zero"}}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum += n
	return nil
}

// Balance returns what is in it.
func (a *account) Balance() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum
}

// BaseManager.register("Account", Account) in Python.
func TestOwnType(t *testing.T) {
	ctx := t.Context()
	address := serve(t, &manager.Server{Types: []manager.Type{
		{Name: "Account", New: func() *account { return new(account) }},
	}}).String()
	c, err := manager.Dial(ctx, address, manager.DialOptions{AuthKey: key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := c.Create(ctx, "Account")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(ctx, "deposit", 40); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Call(ctx, "deposit", -1); err == nil || err.Error() != "ValueError: a deposit is above zero" {
		t.Errorf("a deposit of -1: %v", err)
	}
	if v, err := a.Call(ctx, "balance"); err != nil || v != int64(40) {
		t.Errorf("the balance is %v, %v", v, err)
	}
}
