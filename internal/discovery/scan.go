package discovery

import (
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// scan returns the apps of this scan with their listening sockets, until the next scan.
func (w *Watcher) scan() conns.Scan {
	if w.scanOf != w.scanNumber+1 {
		w.scanOf, w.scanned = w.scanNumber+1, w.scanned[:0]
		for _, a := range w.apps {
			w.scanned = append(w.scanned, conns.AppListeners{Name: a.name, Up: len(a.roots) > 0, Namespace: a.namespace, Listeners: a.listeners})
		}
	}
	return conns.Scan{Number: w.scanNumber, Apps: w.scanned}
}

// watchConnections sets the apps and processes whose connections are sampled.
func (w *Watcher) watchConnections() {
	var apps []conns.AppProcesses
	for _, a := range w.apps {
		if len(a.members) == 0 {
			continue
		}
		h := conns.AppProcesses{Name: a.name, Owner: a.owner, NetNS: a.namespace.Inode, Members: make([]conns.ProcessKey, 0, len(a.members)), Workers: make(map[int]bool, len(a.workers))}
		for _, p := range a.members {
			h.Members = append(h.Members, conns.ProcessKey{PID: p.PID, Start: p.Start})
		}
		for _, p := range a.workers {
			h.Workers[p.PID] = true
		}
		apps = append(apps, h)
	}
	w.connections.SetApps(apps)
}

// watchMemory sets the processes whose memory is sampled, by the apps of this scan.
func (w *Watcher) watchMemory() {
	procs := make(map[pss.Key]pss.Process)
	for _, a := range w.apps {
		for _, p := range a.members {
			procs[pss.Key{PID: p.PID, Start: p.Start}] = pss.Process{RSS: p.Stat.RSS * procfs.PageSize(), Owner: a.owner}
		}
	}
	w.memory.SetProcesses(procs)
}
