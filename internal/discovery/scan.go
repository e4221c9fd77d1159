package discovery

import (
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
)

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

// watchMemory sets whose memory to sample.
func (w *Watcher) watchMemory() {
	procs := make(map[pss.Key]pss.Process)
	for _, a := range w.apps {
		for _, p := range a.members {
			procs[pss.Key{PID: p.PID, Start: p.Start}] = pss.Process{RSS: p.Stat.RSS * pageSize(), Owner: a.owner}
		}
	}
	w.memory.SetProcesses(procs)
}
