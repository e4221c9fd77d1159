package discovery_test

import (
	"context"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
)

// ConnectionsNow has the limits of the background samples and reads the current state.
func TestConnectionsNowIsBounded(t *testing.T) {
	t.Parallel()
	w, err := discovery.New(discovery.Options{ProcRoot: "/proc", Interval: 3600e9})
	if err != nil {
		t.Fatal(err)
	}
	all := func(string) bool { return true }
	ctx, cancel := context.WithCancel(t.Context())
	c, err := w.ConnectionsNow(ctx, all, "nobody")
	if err != nil || len(c.List) != 0 || len(c.Errs) != 0 || c.Taken.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
	cancel()
	if _, err := w.ConnectionsNow(ctx, all); err == nil {
		t.Error("an ended context")
	}
}
