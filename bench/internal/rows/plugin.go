package rows

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os/exec"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tristrand/tristrand/bench/internal/measure"
)

// An adder is what the plugin gives.
type adder interface {
	call(ctx context.Context, x int) (int, error)
	// bulk makes n calls, as many at once as it can make use of.
	bulk(ctx context.Context, n int) error
}

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "BENCH_PLUGIN", MagicCookieValue: "adder"}

// plugins are the same thing over each of go-plugin's protocols.
func plugins(protocol string) plugin.PluginSet {
	if protocol == "grpc" {
		return plugin.PluginSet{protocol: grpcPlugin{}}
	}
	return plugin.PluginSet{protocol: netrpcPlugin{}}
}

type netrpcPlugin struct{}

type netrpcServer struct{}

func (netrpcServer) Add(x int, sum *int) error { *sum = x + 1; return nil }

func (netrpcPlugin) Server(*plugin.MuxBroker) (any, error) { return netrpcServer{}, nil }

func (netrpcPlugin) Client(_ *plugin.MuxBroker, c *rpc.Client) (any, error) {
	return netrpcAdder{c}, nil
}

type netrpcAdder struct{ client *rpc.Client }

func (a netrpcAdder) call(_ context.Context, x int) (sum int, err error) {
	return sum, a.client.Call("Plugin.Add", x, &sum)
}

func (a netrpcAdder) bulk(_ context.Context, n int) error {
	sums := make([]int, procBatch)
	for i := 0; i < n; i += procBatch {
		size := min(procBatch, n-i)
		done := make(chan *rpc.Call, size)
		for j := range size {
			a.client.Go("Plugin.Add", i+j, &sums[j], done)
		}
		for range size {
			if c := <-done; c.Error != nil {
				return c.Error
			}
		}
		for j := range size {
			if sums[j] != i+j+1 {
				return wrong(sums[j], i+j+1)
			}
		}
	}
	return nil
}

type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

type grpcServer struct{}

func (grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Adder", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Add", Handler: grpcAdd}},
	}, grpcServer{})
	return nil
}

func grpcAdd(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var x wrapperspb.Int64Value
	if err := decode(&x); err != nil {
		return nil, err
	}
	return wrapperspb.Int64(x.Value + 1), nil
}

func (grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return grpcAdder{c}, nil
}

type grpcAdder struct{ conn *grpc.ClientConn }

func (a grpcAdder) call(ctx context.Context, x int) (int, error) {
	var sum wrapperspb.Int64Value
	err := a.conn.Invoke(ctx, "/bench.Adder/Add", wrapperspb.Int64(int64(x)), &sum)
	return int(sum.Value), err
}

// grpcAtOnce is about where more calls at once do not bring more.
const grpcAtOnce = 100

func (a grpcAdder) bulk(ctx context.Context, n int) error {
	var wg sync.WaitGroup
	errs := make([]error, grpcAtOnce)
	for i := range errs {
		wg.Go(func() {
			for j := i; j < n && errs[i] == nil; j += grpcAtOnce {
				v, err := a.call(ctx, j)
				errs[i] = expect(v, j+1, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pluginCall makes calls of a plugin, one after another.
func pluginCall(o Options, protocol string) measure.Impl {
	return pluginImpl(o, protocol, func(ctx context.Context, a adder, n int) error {
		for i := range n {
			v, err := a.call(ctx, i)
			if err := expect(v, i+1, err); err != nil {
				return err
			}
		}
		return nil
	})
}

func pluginBulk(o Options, protocol string) measure.Impl {
	return pluginImpl(o, protocol, func(ctx context.Context, a adder, n int) error { return a.bulk(ctx, n) })
}

func pluginImpl(o Options, protocol string, run func(ctx context.Context, a adder, n int) error) measure.Impl {
	return measure.Impl{Name: "go-plugin-" + protocol, Open: func(ctx context.Context) (measure.Trial, error) {
		if err := needsSelf(o); err != nil {
			return measure.Trial{}, err
		}
		c := plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig: handshake, Plugins: plugins(protocol), Logger: hclog.NewNullLogger(),
			Cmd:              exec.Command(o.Self, "-child", "plugin", protocol),
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC, plugin.ProtocolGRPC},
		})
		protocolClient, err := c.Client()
		if err != nil {
			c.Kill()
			return measure.Trial{}, err
		}
		found, err := protocolClient.Dispense(protocol)
		if err != nil {
			c.Kill()
			return measure.Trial{}, err
		}
		a, ok := found.(adder)
		if !ok {
			c.Kill()
			return measure.Trial{}, fmt.Errorf("the plugin is a %T", found)
		}
		return measure.Trial{
			Run:   measure.Time(func(n int) error { return run(ctx, a, n) }),
			Close: func() error { c.Kill(); return nil },
		}, nil
	}}
}

// pluginChild is the plugin.
func pluginChild(protocol string) {
	cfg := &plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins(protocol), Logger: hclog.NewNullLogger()}
	if protocol == "grpc" {
		cfg.GRPCServer = plugin.DefaultGRPCServer
	}
	plugin.Serve(cfg)
}
