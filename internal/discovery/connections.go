package discovery

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// Connections returns the last sample of the apps' established connections to servers; an
// empty one with a zero time if there was none yet. The first call starts the sampling.
func (w *Watcher) Connections() *conns.Sample { return w.connections.Latest() }

// SampleConnections schedules a sample of the connections, at the earliest 5 s after the
// last one. It does not wait for it.
func (w *Watcher) SampleConnections() { w.connections.Request() }

// SetServices sets the configured servers, to which connections are sampled.
func (w *Watcher) SetServices(services []conns.Service) { w.connections.SetServices(services) }

// ConnectionsNow reads now the proven connections of these apps, or of all apps if none is
// named, to the servers whose component is wanted. It is for an action that is about to end
// some; it waits for the kernel, so no scrape may call it. Errs of the sample has why the
// connections of an app are not known, or not all of them.
func (w *Watcher) ConnectionsNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*conns.Sample, error) {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil, err
	}
	return w.connections.ConnectionsNow(ctx, wanted, apps...)
}
