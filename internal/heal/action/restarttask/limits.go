package restarttask

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

// After the n-th restart in a row on one queue, nothing is done to it for
// firstBackoff × 2^(n−1). A row ends when the queue needed none for that long and wellFor.
const (
	firstBackoff = 30 * time.Second
	maxBackoff   = 30 * time.Minute
	wellFor      = 10 * time.Minute
)

// checkSettings returns why the settings do not allow a restart: idempotent is not set, or
// min_stuck is below a second; zero: they do.
func (r *Action) checkSettings() action.Refusal {
	switch {
	case !r.c.Idempotent:
		return action.Refuse(action.CodeNotIdempotent, "set idempotent: true if a job may run twice: one that is interrupted is run again")
	case r.c.MinStuck < time.Second:
		return action.Refuse(action.CodeSettingMissing, "min_stuck is missing")
	}
	return action.Refusal{}
}

// backoff returns for how long nothing is done after n restarts in a row: 30 s after the
// first, twice as long after each more, at most 30 minutes; 0 after none.
func backoff(n int) time.Duration {
	return retry.Backoff{First: firstBackoff, Max: maxBackoff}.Delay(n)
}

// tooSoon returns why a queue that was restarted at these times, the oldest first, is left
// alone for now; zero: it is not.
func tooSoon(restarts []time.Time, now time.Time) action.Refusal {
	n, wait := backoffLeft(restarts, now)
	if wait <= 0 {
		return action.Refusal{}
	}
	ago := now.Sub(restarts[len(restarts)-1])
	return action.Refuse(action.CodeBackoff, "it was restarted %d times in a row, the last time %.0f s ago: the next restart is allowed in %.0f s", n, ago.Seconds(), wait.Seconds())
}

// backoffLeft returns how many of the restarts at these times, the oldest first, are in a row,
// the last one included, and for how long from now nothing is done after it: 0 if the next one
// is allowed.
func backoffLeft(restarts []time.Time, now time.Time) (n int, wait time.Duration) {
	var last time.Time
	for _, at := range restarts {
		if at.Sub(last) > backoff(n)+wellFor {
			n = 0
		}
		n, last = n+1, at
	}
	if n == 0 {
		return 0, 0
	}
	return n, max(0, last.Add(backoff(n)).Sub(now))
}
