package restarttask

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// Backoff returns the pause for a queue after n restarts.
func Backoff(n int) time.Duration { return backoff(n) }

// IsRQ reports whether a command line is that of a worker of RQ.
func IsRQ(l procid.Launch) bool { return isRQ(l) }

// BackoffLeft returns how many restarts are in a row, and the wait after them.
func BackoffLeft(restarts []time.Time, now time.Time) (n int, wait time.Duration) {
	return backoffLeft(restarts, now)
}

// Disconnected returns why a connection of a process to a Redis is not proven.
func Disconnected(held conns.ProcessConnections, at redis.ServerState, name string) action.Refusal {
	return disconnected(held, claim{at: at, name: name})
}
