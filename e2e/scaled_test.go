package e2e_test

import (
	"testing"
	"time"
)

// TestScaled checks that a limit never becomes shorter, and at most ten times as long.
func TestScaled(t *testing.T) {
	t.Parallel()
	for _, limit := range []time.Duration{time.Second, time.Minute} {
		if got := scaled(limit); got < limit || got > 10*limit {
			t.Errorf("%s becomes %s", limit, got)
		}
	}
}
