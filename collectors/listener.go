package collectors

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/proc"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

var (
	queueFamily     = gauge("listener_queue_length", "Connections that wait for the app to accept them.", "app", "listener")
	queueMaxFamily  = gauge("listener_queue_limit", "How many connections may wait; the kernel lets one more in.", "app", "listener")
	overflowsFamily = counter("listen_overflows_total", "Connections refused because an accept queue was full, in the app's network namespace; apps that share it show the same number.", "app")
	dropsFamily     = counter("listen_drops_total", "Connection requests dropped for any reason while listening, in the app's network namespace; apps that share it show the same number.", "app")
)

// Listener gives the accept queues of the apps' listening sockets.
type Listener struct {
	apps     Apps
	procRoot string
}

// NewListener returns the collector "listener".
func NewListener(apps Apps, procRoot string) *Listener {
	return &Listener{apps: apps, procRoot: procRoot}
}

// Name implements [Collector].
func (*Listener) Name() string { return "listener" }

// Descs implements [Collector].
func (*Listener) Descs() []*prometheus.Desc {
	return descs(queueFamily, queueMaxFamily, overflowsFamily, dropsFamily)
}

// Collect implements [Collector].
func (c *Listener) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	var lack error
	netstat := make(map[uint64]listenCounters) // one reading a namespace
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		if why := queues(&s, a); why != nil && lack == nil {
			lack = why
		}
		n, ok := netstat[a.NetNS]
		if !ok {
			n = c.counters(a.PID)
			netstat[a.NetNS] = n
		}
		if n.ok {
			s.add(overflowsFamily, n.overflows, a.Name)
			s.add(dropsFamily, n.drops, a.Name)
		}
	}
	return s, lack
}

// queues publishes one app's listeners. Several sockets with one address
// (SO_REUSEPORT, or IPv4 and IPv6 both on every address) are one listener.
func queues(s *Sample, a *proc.App) error {
	type queue struct {
		length, limit       float64
		hasLength, hasLimit bool
	}
	byLabel := make(map[string]*queue)
	var labels []string
	for _, l := range a.Listeners {
		name := sockdiag.Label(l)
		q := byLabel[name]
		if q == nil {
			q = &queue{}
			byLabel[name] = q
			labels = append(labels, name)
		}
		q.length += float64(l.Queue)
		q.limit += float64(l.Limit)
		q.hasLength = q.hasLength || l.HasQueue
		q.hasLimit = q.hasLimit || l.HasLimit
	}
	sort.Strings(labels)
	complete := true
	for _, name := range labels {
		q := byLabel[name]
		if q.hasLength {
			s.add(queueFamily, q.length, a.Name, name)
		}
		if q.hasLimit {
			s.add(queueMaxFamily, q.limit, a.Name, name)
		}
		complete = complete && q.hasLength && q.hasLimit
	}
	switch {
	case len(labels) == 0 && a.FDsErr != nil:
		return &Unavailable{Permission, "the listeners of " + a.Name + " need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"}
	case len(labels) == 0 && a.Configured:
		return &Unavailable{NotFound, a.Name + " holds no listening socket"}
	case !complete:
		return &Unavailable{Permission, fmt.Sprintf("the accept queues of %s in its network namespace need CAP_SYS_ADMIN (%v)", a.Name, a.QueueErr)}
	}
	return nil
}

type listenCounters struct {
	overflows, drops float64
	ok               bool
}

// counters reads ListenOverflows and ListenDrops of the network namespace of a
// process (/proc/PID/net/netstat).
func (c *Listener) counters(pid int) listenCounters {
	b, err := os.ReadFile(c.procRoot + "/" + strconv.Itoa(pid) + "/net/netstat")
	if err != nil {
		return listenCounters{}
	}
	overflows, drops, err := parseListenCounters(b)
	return listenCounters{overflows: overflows, drops: drops, ok: err == nil}
}
