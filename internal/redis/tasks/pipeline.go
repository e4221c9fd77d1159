package tasks

import (
	"context"
	"errors"
	"strings"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// pipelined sends the commands that fill adds, in one round trip. The error is one of the
// connection; the reply or error of a command is in the command.
func pipelined(ctx context.Context, l *redis.Link, fill func(driver.Pipeliner)) error {
	p := l.Client().Pipeline()
	fill(p)
	if p.Len() == 0 {
		return nil
	}
	cmds, err := p.Exec(ctx)
	if err == nil {
		return nil
	}
	for _, c := range cmds {
		var answered driver.Error
		if err := c.Err(); err != nil && !errors.As(err, &answered) {
			return err
		}
	}
	return nil
}

// refused returns why the server refused the first of the commands that it refused; nil
// if none was: they have a reply, their key does not exist, or the connection failed.
// keys is the part of an ACL rule that would allow the user to read the keys.
func refused(keys string, cmds ...driver.Cmder) *redis.Error {
	for _, c := range cmds {
		err := c.Err()
		var answered driver.Error
		if err == nil || errors.Is(err, driver.Nil) || !errors.As(err, &answered) {
			continue
		}
		return queueFault(answered.Error(), keys)
	}
	return nil
}

// queueFault returns the [redis.Error] for an error reply to a command about a queue: for a
// key that the user may not read, with an ACL rule of keys as remedy; for a key of another
// type; and for any other reply that of [redis.ReplyFault].
func queueFault(text, keys string) *redis.Error {
	code, rest, _ := strings.Cut(text, " ")
	switch {
	case code == "NOPERM" && !redis.NamesCommand(text) && strings.Contains(rest, "key"):
		remedy := "ACL SETUSER " + redis.Placeholder + " " + keys
		return &redis.Error{Reason: reason.Permission, Detail: "needs a right for its user: " + remedy, Remedy: remedy}
	case code == "WRONGTYPE":
		return &redis.Error{Reason: reason.Failed, Detail: "has a key with the name of a queue that is of another type"}
	}
	return redis.ReplyFault(text)
}

// size returns the count in a command's reply, at least 0: a hostile server may send less.
func size(c *driver.IntCmd) int64 { return max(0, c.Val()) }
