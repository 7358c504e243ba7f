package embed_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/tristrand/tristrand"
	"github.com/tristrand/tristrand/cluster"
	"github.com/tristrand/tristrand/strand"
	"github.com/tristrand/tristrand/thread"
)

var taskTwice = tristrand.Define("embed.twice", func(_ context.Context, n int) (int, error) { return 2 * n, nil })

// must returns what a call that cannot fail has made.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t *testing.T, kind nkeys.PrefixByte) (nkeys.KeyPair, string) {
	t.Helper()
	key := must[nkeys.KeyPair](t)(nkeys.CreatePair(kind))
	return key, must[string](t)(key.PublicKey())
}

// An operator runs a server whose users show what it has signed.
type operator struct {
	key      nkeys.KeyPair
	claims   *jwt.OperatorClaims
	resolver *server.MemAccResolver
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	key, id := newKey(t, nkeys.PrefixByteOperator)
	o := &operator{key: key, claims: jwt.NewOperatorClaims(id), resolver: &server.MemAccResolver{}}
	text := must[string](t)(o.claims.Encode(key))
	o.claims = must[*jwt.OperatorClaims](t)(jwt.DecodeOperatorClaims(text))
	return o
}

// account makes one, with room in the store or without.
func (o *operator) account(t *testing.T, room int64) (nkeys.KeyPair, string) {
	t.Helper()
	key, id := newKey(t, nkeys.PrefixByteAccount)
	claims := jwt.NewAccountClaims(id)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: room, DiskStorage: room}
	if err := o.resolver.Store(id, must[string](t)(claims.Encode(o.key))); err != nil {
		t.Fatal(err)
	}
	return key, id
}

// user writes a file of credentials, as an operator makes it out.
func user(t *testing.T, account nkeys.KeyPair, until time.Time) (file string) {
	t.Helper()
	key, id := newKey(t, nkeys.PrefixByteUser)
	claims := jwt.NewUserClaims(id)
	if !until.IsZero() {
		claims.Expires = until.Unix()
	}
	text := must[string](t)(claims.Encode(account))
	creds := must[[]byte](t)(jwt.FormatUserConfig(text, must[[]byte](t)(key.Seed())))
	file = filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(file, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve starts its server.
func (o *operator) serve(t *testing.T, system string) (url string) {
	t.Helper()
	s := must[*server.Server](t)(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
		TrustedOperators: []*jwt.OperatorClaims{o.claims}, AccountResolver: o.resolver, SystemAccount: system,
	}))
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

// Who shows the credentials that the servers' operator has made out can use the cluster; all
// others are refused, and told why.
func TestCredentials(t *testing.T) {
	t.Parallel()
	o, stranger := newOperator(t), newOperator(t)
	_, system := o.account(t, 0)
	app, _ := o.account(t, 1<<30)
	bare, _ := o.account(t, 0)
	foreign, _ := stranger.account(t, 1<<30)
	url := o.serve(t, system)
	garbled := filepath.Join(t.TempDir(), "garbled.creds")
	if err := os.WriteFile(garbled, []byte("no credentials"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, end := strand.Adopt(context.Background(), "test")
	defer end()
	for _, tt := range []struct{ name, creds, want string }{
		{"none", "", "uthorization"},
		{"no file", filepath.Join(t.TempDir(), "none.creds"), "none.creds"},
		{"no credentials in the file", garbled, "garbled.creds"},
		{"of another operator", user(t, foreign, time.Time{}), "uthorization"},
		{"that have expired", user(t, app, time.Now().Add(-time.Hour)), "uthorization"},
		{"of an account without a store", user(t, bare, time.Time{}), "JetStream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := cluster.Open(ctx, cluster.Options{URLs: []string{url}, Credentials: tt.creds, Durability: cluster.Memory, StartTimeout: 10 * time.Second})
			if err == nil {
				_ = c.Close(ctx)
				t.Fatal("Open succeeds")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %q, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("right", func(t *testing.T) {
		works(ctx, t, url, user(t, app, time.Time{}), user(t, app, time.Now().Add(time.Hour)))
	})
}

// works has one user's job run by another.
func works(ctx context.Context, t *testing.T, url, mine, others string) {
	t.Helper()
	open := func(creds string) *cluster.Cluster {
		c := must[*cluster.Cluster](t)(cluster.Open(ctx, cluster.Options{URLs: []string{url}, Credentials: creds, Durability: cluster.Memory}))
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
	worker, c := open(others), open(mine)
	inner, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	strand.Go(inner, strand.Options{Kind: strand.Thread, Name: "serve"}, func(ctx context.Context) {
		engine := &thread.Pool{Workers: 1}
		defer engine.Close(context.WithoutCancel(ctx))
		served <- (&cluster.Worker{NoSignals: true}).Serve(ctx, worker, engine)
	})
	if v, err := taskTwice.Call(ctx, c.Pool(), 21); v != 42 || err != nil {
		t.Errorf("a job gives %d, %v", v, err)
	}
	l := cluster.NewLock(c, "l")
	if err := l.Acquire(ctx); err != nil {
		t.Error(err)
	} else if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
