// Package keyspace compares the databases of Redis servers.
package keyspace

import (
	"context"
	"errors"
	"fmt"
)

// ErrNotConfigured means that a Redis is not in the configuration.
var ErrNotConfigured = errors.New("the Redis is not in the configuration")

// Same reports whether two names of the section redis lead to one database of one server.
// If the names differ it compares what of returns for them. An error means that it is not
// known.
func Same(ctx context.Context, x, y string, of func(ctx context.Context, name string) (string, error)) (bool, error) {
	if x == y {
		return true, nil
	}
	a, err := of(ctx, x)
	if err != nil {
		return false, fmt.Errorf("redis %s %w", x, err)
	}
	b, err := of(ctx, y)
	if err != nil {
		return false, fmt.Errorf("redis %s %w", y, err)
	}
	return a == b, nil
}
