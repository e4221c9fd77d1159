package controlkey

import (
	"context"
	"crypto/rand"
	"strings"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// replace sets a key to ARGV[2] for ARGV[3] ms, or removes it if that is empty, unless it
// has another value by now than ARGV[1]. ARGV[4] is the last byte that is compared. A key
// that is no string counts as an empty one.
const replace = `local have = redis.pcall('GETRANGE', KEYS[1], 0, ARGV[4])
if type(have) == 'table' then have = '' end
if have ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

// probe uses each command on a key that does not exist, which changes nothing.
const probe = `redis.call('GETRANGE', KEYS[1], 0, 0)
redis.call('SET', KEYS[1], '', 'XX', 'PX', 1)
redis.call('DEL', KEYS[1])
return 1`

// Check returns why the exporter's user could not write the keys on a server, a
// [redis.Error]; nil: it could. It changes nothing.
func Check(ctx context.Context, s *redis.Server) error {
	key := Prefix + "/" + rand.Text() // no app has such a name
	return s.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		if err := l.Client().GetRange(ctx, key, 0, 0).Err(); err != nil {
			return err
		}
		return l.Client().Eval(ctx, probe, []string{key}).Err()
	})
}

// read returns the first 4,097 bytes of the keys of apps, in their order; "" for one that
// does not exist, or is no string.
func read(ctx context.Context, l *redis.Link, apps []string) ([]string, error) {
	have := make([]*driver.StringCmd, len(apps))
	_, err := l.Client().Pipelined(ctx, func(p driver.Pipeliner) error {
		for i, app := range apps {
			have[i] = p.GetRange(ctx, Prefix+app, 0, maxValue)
		}
		return nil
	})
	if err != nil && !redis.IsReply(err) {
		return nil, err
	}
	out := make([]string, len(apps))
	for i, cmd := range have {
		if err := cmd.Err(); err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE ") {
			return nil, err
		}
		out[i] = cmd.Val()
	}
	return out, l.KeysError() // of the connection that was used
}

// change is a new value for the key of an app.
type change struct {
	app  string
	have string // as it was read
	next string // "": it is removed
}

// write makes changes, and returns for each of them, in their order, whether it was made:
// not if somebody else has changed the key since.
func write(ctx context.Context, l *redis.Link, list []change) ([]bool, error) {
	out, made := make([]bool, len(list)), make([]*driver.Cmd, len(list))
	if len(list) == 0 {
		return out, nil
	}
	_, err := l.Client().Pipelined(ctx, func(p driver.Pipeliner) error {
		for i, c := range list {
			made[i] = p.Eval(ctx, replace, []string{Prefix + c.app}, c.have, c.next, expiry.Milliseconds(), maxValue)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, cmd := range made {
		n, err := cmd.Int()
		if err != nil {
			return nil, err
		}
		out[i] = n == 1
	}
	return out, nil
}
