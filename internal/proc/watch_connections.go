package proc

import "context"

// Connections returns the connections of the apps to stores, as last sampled.
// Before it is first called there are no samples.
func (w *Watcher) Connections() *Connections { return w.connections.latest() }

// SampleConnections asks for another sample soon, at the earliest 5 s after the
// last one. It does not wait.
func (w *Watcher) SampleConnections() { w.connections.sampleSoon() }

// SetServices says which servers the configuration names.
func (w *Watcher) SetServices(services []Service) { w.connections.setServices(services) }

// HeldNow reads now the proven TCP connections of these apps to the servers whose
// component is wanted, for an action that is about to end some; without a name,
// those of all apps. It waits for the kernel, and is not for a scrape. Why the
// connections of an app are not known, or not all of them, is in
// [Connections.Errs]. Connections to other places count for no bound: any user
// can have any number of them.
func (w *Watcher) HeldNow(ctx context.Context, wanted func(component string) bool, apps ...string) (*Connections, error) {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil, err
	}
	return w.connections.heldNow(ctx, wanted, apps...)
}

// watchConnections tells the sampler whose connections to look for.
func (w *Watcher) watchConnections() {
	var houses []household
	for _, a := range w.apps {
		if len(a.members) == 0 {
			continue
		}
		h := household{name: a.name, owner: a.owner, net: a.net.ino, members: make([]memberKey, 0, len(a.members)), workers: make(map[int]bool, len(a.workers))}
		for _, p := range a.members {
			h.members = append(h.members, memberKey{pid: p.pid, start: p.start})
		}
		for _, p := range a.workers {
			h.workers[p.pid] = true
		}
		houses = append(houses, h)
	}
	w.connections.want(houses)
}
