package collectors

import (
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/workerends"
)

var workerEndsFamily = counter("worker_ends_total", "Workers that ended, by reason: timeout (killed by its server's timeout), oom (by the kernel's OOM killer), signal (by another signal), recycled (exited as its master told it, and the master goes on), exit (with another status, or with its master), unknown (the kernel does not report the status). A worker that starts and ends within 5 s may not be counted.", "app", "reason")

// WorkerEnds is the part of the watcher of workers' ends that the collector "workers" uses.
type WorkerEnds interface {
	Observe(snap *discovery.Snapshot)
	Of(app string) []workerends.Count
	Dropped() uint64
}

// endsOf adds how the workers of an app ended.
func (c *Workers) endsOf(s *Sample, app string) {
	for _, n := range c.ends.Of(app) {
		s.add(workerEndsFamily, float64(n.Ends), app, string(n.Reason))
	}
}
