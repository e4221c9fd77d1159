package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

func TestMostNodes(t *testing.T) {
	for connections, want := range map[int]int{0: 16, 32: 16, 90: 45, 1000: 500, math.MaxInt: 500} {
		if got := mostNodes(connections); got != want {
			t.Errorf("with %d connections %d nodes, want %d", connections, got, want)
		}
	}
}

// rogue starts a cluster node that reports one slot per node, each node at its own
// address with the same port.
func rogue(t *testing.T, named int) (port string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", ":0") //nolint:gosec // 127.0.0.0/8 is what it names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	var slots strings.Builder
	fmt.Fprintf(&slots, "*%d\r\n", named)
	for i := range named {
		last := i
		if i == named-1 {
			last = 16383
		}
		host := fmt.Sprintf("127.1.%d.%d", i/250, i%250+1)
		fmt.Fprintf(&slots, "*3\r\n:%d\r\n:%d\r\n*3\r\n$%d\r\n%s\r\n:%s\r\n$40\r\n%040d\r\n", i, last, len(host), host, port, i)
	}
	accepted = new(atomic.Int64)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go answerRogue(c, slots.String())
		}
	}()
	return port, accepted
}

// answerRogue serves one connection: +OK to all commands except CLUSTER SLOTS.
func answerRogue(c net.Conn, slots string) {
	defer func() { _ = c.Close() }()
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch word := strings.ToLower(strings.TrimSpace(line)); word {
		case "slots":
			_, _ = io.WriteString(c, slots)
		case "hello":
			_, _ = io.WriteString(c, "-ERR unknown command 'hello'\r\n")
		case "setname", "auth", "ping":
			_, _ = io.WriteString(c, "+OK\r\n")
		}
	}
}

// No node of a cluster with more nodes than the limit is connected to.
func TestClusterOfTooManyNodes(t *testing.T) {
	for named, want := range map[int]bool{8: true, 40: false, 16384: false} {
		port, accepted := rogue(t, named)
		l := newLink(config.RedisURL{Addrs: []string{"127.0.0.1:" + port}, Kind: config.RedisCluster}, "")
		l.nodes.most = 16
		var calls atomic.Int64
		err := l.Each(t.Context(), func(ctx context.Context, c *redis.Client) error {
			calls.Add(1)
			return c.Ping(ctx).Err()
		})
		if want && (err != nil || calls.Load() != int64(named)) {
			t.Errorf("%d nodes: %d were asked, %v", named, calls.Load(), err)
		}
		if !want && (!errors.Is(err, errNodes) || calls.Load() != 0 || accepted.Load() > 2) {
			t.Errorf("%d nodes: %d were asked over %d connections, %v", named, calls.Load(), accepted.Load(), err)
		}
		_ = l.client.Close()
	}
}

// If a cluster reports new nodes again and again, only the first ones are used.
func TestNodesAreBounded(t *testing.T) {
	n := &nodes{most: 3, seen: make(map[string]bool)}
	admitted := 0
	for range 2 {
		for i := range 10 {
			if n.admits(fmt.Sprintf("10.0.0.%d:6379", i)) {
				admitted++
			}
		}
	}
	if admitted != 6 || len(n.seen) != 3 || !n.over.Load() {
		t.Errorf("%d of 20 connects were admitted, %d addresses are kept", admitted, len(n.seen))
	}
}
