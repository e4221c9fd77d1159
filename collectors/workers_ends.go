package collectors

import (
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/workerends"
)

var workerEndsFamily = counter("worker_ends_total", "Workers that ended, by reason: timeout (killed by its server's timeout), oom (by the kernel's OOM killer), signal (by another signal), recycled (exited as its master told it, and the master goes on), exit (with another status, or with its master), unknown (the kernel does not report the status). A worker that starts and ends within 5 s may not be counted.", "app", "reason")

var cutOffFamily = counter("worker_ends_in_request_total", "Workers that ended while they had a request, which was cut off: by their server's timeout, the OOM killer, another signal, or with an exit status that is no orderly end. An orderly end finishes the request first and does not count, nor does an end whose status the kernel does not report.", "app")

// WorkerEnds is the part of the watcher of workers' ends that the collector "workers" uses.
type WorkerEnds interface {
	Observe(snap *discovery.Snapshot)
	Of(app string) []workerends.Count
	Dropped() uint64
}

// endsOf adds the metrics of how the workers of an app ended, and how many of them while
// they had a request.
func (c *Workers) endsOf(s *Sample, app string) {
	cutOff := uint64(0)
	for _, n := range c.ends.Of(app) {
		s.add(workerEndsFamily, float64(n.Ends), app, string(n.Reason))
		cutOff += n.InRequest
	}
	s.add(cutOffFamily, float64(cutOff), app)
}
