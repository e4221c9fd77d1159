package discovery

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// Connections returns the last sample of the apps' connections to servers. There
// are no samples before the first call.
func (w *Watcher) Connections() *conns.Sample { return w.connections.Latest() }

// SampleConnections requests a sample soon, at the earliest 5 s after the last
// one, and returns at once.
func (w *Watcher) SampleConnections() { w.connections.Request() }

// SetServices sets the configured servers.
func (w *Watcher) SetServices(services []conns.Service) { w.connections.SetServices(services) }

// ConnectionsNow reads now the proven connections of these apps to the servers whose
// component is wanted, for an action that is about to end some; of all apps
// without a name. It waits for the kernel and is not for a scrape. Why the
// connections of an app are not known, or not all of them, is in Errs of the
// sample. Connections to other servers do not count for the bound: any user can
// have any number of them.
func (w *Watcher) ConnectionsNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*conns.Sample, error) {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil, err
	}
	return w.connections.ConnectionsNow(ctx, wanted, apps...)
}
