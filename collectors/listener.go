package collectors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

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

	mu        sync.Mutex
	overflows map[uint64]*window // by network namespace
}

// NewListener returns the collector "listener".
func NewListener(apps Apps, procRoot string) *Listener {
	return &Listener{apps: apps, procRoot: procRoot, overflows: make(map[uint64]*window)}
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
	var lacks []error
	netstat := make(map[uint64]listenCounters) // one reading a namespace
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		if why := queues(&s, a); why != nil {
			lacks = append(lacks, why)
		}
		n, ok := netstat[a.NetNS]
		if !ok {
			n = c.counters(a.PID)
			netstat[a.NetNS] = n
			c.remember(a.NetNS, n, snap.Time)
		}
		if n.ok {
			s.add(overflowsFamily, n.overflows, a.Name)
			s.add(dropsFamily, n.drops, a.Name)
			if grown, ok := c.grown(a.NetNS, n, snap.Time); ok {
				s.note("listen_overflows_5m", grown, a.Name)
			}
		}
	}
	c.forget(netstat)
	return s, errors.Join(lacks...)
}

// remember, grown and forget keep the last minutes of each namespace: its
// counter began with the namespace, so its value alone says nothing about now.
func (c *Listener) remember(ns uint64, n listenCounters, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.overflows[ns] == nil {
		c.overflows[ns] = &window{}
	}
	if n.ok {
		c.overflows[ns].add(now, n.overflows)
	}
}

func (c *Listener) grown(ns uint64, n listenCounters, now time.Time) (float64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overflows[ns].growth(now, n.overflows)
}

func (c *Listener) forget(seen map[uint64]listenCounters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ns := range c.overflows {
		if _, ok := seen[ns]; !ok {
			delete(c.overflows, ns)
		}
	}
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
		return lackOfApp(a.Name, Permission, "the listeners of "+a.Name+" need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", CureProcesses)
	case len(labels) == 0 && a.Configured:
		return lackOfApp(a.Name, NotFound, a.Name+" holds no listening socket", "")
	case !complete:
		return queuesRefused(a)
	}
	return nil
}

// queuesRefused says what the accept queues need: in another network namespace
// a capability, in ours only that sock_diag is not forbidden.
func queuesRefused(a *proc.App) error {
	if own, err := os.Stat("/proc/self/ns/net"); err == nil {
		if st, ok := own.Sys().(*syscall.Stat_t); ok && st.Ino == a.NetNS {
			return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s need netlink sockets, which are refused (%v)", a.Name, a.QueueErr), cureNetlink)
		}
	}
	return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s in its network namespace need CAP_SYS_ADMIN (%v)", a.Name, a.QueueErr), cureNamespaces)
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
