package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

var (
	errSentinel = errors.New("sentinels")
	errNoMaster = errors.New("no such master")
)

// findMaster returns the master's host:port by the first sentinel that names one, of all
// that are asked at once, so that one that hangs does not matter. If none does the error
// wraps errSentinel, and also errNoMaster if one does not know it. It is called at each
// connect, as one follows a failover. The driver's own client reads replies of any length,
// in a goroutine whose panic cannot be recovered.
func findMaster(ctx context.Context, u config.RedisURL) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type reply struct {
		addr string
		err  error
	}
	replies := make(chan reply, len(u.Addrs))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, sentinel := range u.Addrs {
		wg.Go(func() {
			addr, err := askSentinel(ctx, u, sentinel)
			replies <- reply{addr, err}
		})
	}
	errs := []error{errSentinel}
	for range u.Addrs {
		a := <-replies
		if a.err == nil {
			return a.addr, nil
		}
		errs = append(errs, a.err)
	}
	return "", errors.Join(errs...)
}

// askSentinel returns the host:port of the master as a sentinel knows it. errNoMaster: it
// does not know the master.
func askSentinel(ctx context.Context, u config.RedisURL, sentinel string) (string, error) {
	var reply atomic.Pointer[string]
	c := redis.NewClient(clientOptions(&redis.UniversalOptions{
		Addrs: []string{sentinel},
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return connect(ctx, network, addr, u, &reply)
		},
	}).Simple())
	defer func() { _ = c.Close() }()
	// A read of the driver ends at its deadline, not when its context does.
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	cmd := redis.NewStringSliceCmd(ctx, "SENTINEL", "get-master-addr-by-name", u.Master)
	err := c.Process(ctx, cmd)
	switch {
	case errors.Is(err, redis.Nil):
		return "", errNoMaster
	case err != nil:
		return "", fmt.Errorf("ask a sentinel: %w", err)
	case len(cmd.Val()) != 2:
		return "", errProtocol
	}
	return net.JoinHostPort(cmd.Val()[0], cmd.Val()[1]), nil
}
