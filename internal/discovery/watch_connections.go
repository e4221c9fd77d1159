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
	return w.connections.HeldNow(ctx, wanted, apps...)
}

// watchConnections tells the sampler whose connections to look for.
func (w *Watcher) watchConnections() {
	var houses []conns.AppProcesses
	for _, a := range w.apps {
		if len(a.members) == 0 {
			continue
		}
		h := conns.AppProcesses{Name: a.name, Owner: a.owner, NetNS: a.net.Inode, Members: make([]conns.ProcessKey, 0, len(a.members)), Workers: make(map[int]bool, len(a.workers))}
		for _, p := range a.members {
			h.Members = append(h.Members, conns.ProcessKey{PID: p.PID, Start: p.Start})
		}
		for _, p := range a.workers {
			h.Workers[p.PID] = true
		}
		houses = append(houses, h)
	}
	w.connections.SetApps(houses)
}

// scan returns the apps of this look as far as sockets are told by them.
func (w *Watcher) scan() conns.Scan {
	if w.scanOf != w.look+1 {
		w.scanOf, w.scanned = w.look+1, w.scanned[:0]
		for _, a := range w.apps {
			w.scanned = append(w.scanned, conns.AppListeners{Name: a.name, Up: len(a.roots) > 0, Namespace: a.net, Listeners: a.sockets})
		}
	}
	return conns.Scan{Number: w.look, Apps: w.scanned}
}
