package discovery

import (
	"context"

	"github.com/resp-exporter/resp-exporter/internal/conns"
)

// Connections returns the connections of the apps to stores, as last sampled.
// Before it is first called there are no samples.
func (w *Watcher) Connections() *conns.Sample { return w.connections.Latest() }

// SampleConnections asks for another sample soon, at the earliest 5 s after the
// last one. It does not wait.
func (w *Watcher) SampleConnections() { w.connections.Request() }

// SetServices says which servers the configuration names.
func (w *Watcher) SetServices(services []conns.Service) { w.connections.SetServices(services) }

// HeldNow reads now the proven TCP connections of these apps to the servers whose
// component is wanted, for an action that is about to end some; without a name,
// those of all apps. It waits for the kernel, and is not for a scrape. Why the
// connections of an app are not known, or not all of them, is in
// [Connections.Errs]. Connections to other places count for no bound: any user
// can have any number of them.
func (w *Watcher) HeldNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*conns.Sample, error) {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil, err
	}
	return w.connections.ConnectionsNow(ctx, wanted, apps...)
}
