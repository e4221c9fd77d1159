package relaystream

import (
	"context"
	"strings"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Refused returns the commands that the exporter's user may not use on its keys, as ACL
// rules write them; none if it may use all. "resp:heal:relay:*" stands for the keys, and
// ends the list, as does "multi". It changes nothing: reads are run, and what writes is
// sent within a transaction that is broken before, so that the server checks the rights and
// runs none. The reason unsupported: the server is a cluster.
func (x *Streams) Refused(ctx context.Context, address string) (out []string, err error) {
	err = x.s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		client, ok := l.Client().(*driver.Client)
		if !ok {
			return &redis.Error{Reason: reason.Unsupported, Detail: "is a cluster", Answered: true}
		}
		c := client.Conn()
		defer leave(ctx, c)
		var err error
		out, err = refused(ctx, c, probes(address))
		return err
	})
	return out, err
}

// leave returns a connection to the client's pool without a transaction begun. If the
// server does not confirm that, the connection is closed.
func leave(ctx context.Context, c *driver.Conn) {
	if err := c.Do(ctx, "discard").Err(); err != nil && !strings.Contains(err.Error(), "without MULTI") {
		_ = c.Do(ctx, "quit").Err() // the server ends it
	}
	_ = c.Close()
}

// refused returns the rights that the commands of a list lack, in its order, up to the keys
// or "multi", by sending them on one connection. A command whose reply is another error
// lacks none. An error means that the connection failed.
func refused(ctx context.Context, c *driver.Conn, list []probe) (out []string, err error) {
	for _, cmd := range list {
		err := c.Do(ctx, cmd.args...).Err()
		if !redis.IsReply(err) {
			return nil, err
		}
		if err == nil || !strings.Contains(err.Error(), "no permissions") {
			continue
		}
		if strings.Contains(err.Error(), "keys") {
			return append(out, prefix+"*"), nil
		}
		out = append(out, cmd.name)
		if cmd.name == "multi" {
			return out, nil // the commands would be run
		}
	}
	return out, nil
}

// probe is one command of a check of rights.
type probe struct {
	name string // as ACL rules write it
	args []any
}

// probes returns a command for each right that the relay needs, with keys of an address:
// some reads, then multi and a command that breaks the transaction, so that those behind it
// are not run.
func probes(address string) []probe {
	s, p, m := streamKey(address), pendingKey(address), memberKey(address)
	return []probe{
		{"time", []any{"time"}}, {"get", []any{"get", m}}, {"hlen", []any{"hlen", p}}, {"xlen", []any{"xlen", s}},
		{"multi", []any{"multi"}},
		{"", []any{"get"}}, // without its argument: it breaks the transaction
		{"set", []any{"set", m, "1"}}, {"del", []any{"del", m}}, {"expire", []any{"expire", m, "60"}},
		{"hget", []any{"hget", p, "x"}}, {"hgetall", []any{"hgetall", p}}, {"hmget", []any{"hmget", p, "x"}}, {"hset", []any{"hset", p, "x", "y"}}, {"hdel", []any{"hdel", p, "x"}},
		{"xadd", []any{"xadd", s, "*", "x", "y"}}, {"xdel", []any{"xdel", s, "1-1"}}, {"xack", []any{"xack", s, group, "1-1"}},
		{"xreadgroup", []any{"xreadgroup", "group", group, consumer, "streams", s, ">"}},
		{"xgroup|create", []any{"xgroup", "create", s, group, "0"}},
		{"watch", []any{"watch", p}}, // it is refused within a transaction, after the check of the rights
		{"exec", []any{"exec"}},
		{"unwatch", []any{"unwatch"}},
	}
}
