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

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

var (
	queueFamily     = gauge("listener_queue_length", "Connections in the accept queue that the app has not accepted yet.", "app", "listener")
	queueMaxFamily  = gauge("listener_queue_limit", "Limit of the accept queue (backlog); the kernel accepts one more.", "app", "listener")
	overflowsFamily = counter("listen_overflows_total", "Connections dropped because an accept queue was full, in the app's network namespace; apps that share the namespace have the same value.", "app")
	dropsFamily     = counter("listen_drops_total", "Connection requests dropped by listening sockets for any reason, in the app's network namespace; apps that share the namespace have the same value.", "app")
)

// Listener returns the accept queues of the apps' listening sockets.
type Listener struct {
	apps     Apps
	procRoot string

	mu        sync.Mutex
	overflows map[uint64]*window // by network namespace
	left      map[string]int     // by app: the most listeners that were over the bound at once
	dropped   int                // sum of all that was ever in left
}

// maxListeners bounds the series of one app's listeners. The others are added up
// under the label [otherListeners].
const (
	maxListeners   = 64
	otherListeners = "other"
)

// NewListener returns the collector "listener".
func NewListener(apps Apps, procRoot string) *Listener {
	return &Listener{apps: apps, procRoot: procRoot, overflows: make(map[uint64]*window), left: make(map[string]int)}
}

// Name implements [Collector].
func (*Listener) Name() string { return "listener" }

// Descs implements [Collector].
func (*Listener) Descs() []*prometheus.Desc {
	return descs(queueFamily, queueMaxFamily, overflowsFamily, dropsFamily, seriesDropped)
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
	left := make(map[string]int)
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		out := model.AppListeners{App: a.Name}
		over, why := queues(&s, &out, a)
		if why != nil {
			lacks = append(lacks, why)
		}
		left[a.Name] = over
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
				out.Overflows5m = model.Known(grown)
			}
		}
		s.State.Listeners = append(s.State.Listeners, out)
	}
	c.forget(netstat)
	s.add(seriesDropped, float64(c.count(left)), queueFamily.name)
	return s, errors.Join(lacks...)
}

// count returns how many listeners were ever over the bound of an app.
func (c *Listener) count(left map[string]int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for app, n := range left {
		c.dropped += max(0, n-c.left[app])
		left[app] = max(n, c.left[app])
	}
	c.left = left
	return c.dropped
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

// queue is the accept queue of the sockets with one label.
type queue struct {
	length, limit       float64
	fullness            float64 // length of its limit, of the fullest socket
	hasLength, hasLimit bool
}

// queueOf returns the accept queue of one socket.
func queueOf(l sockdiag.Listener) queue {
	q := queue{length: float64(l.Queue), limit: float64(l.Limit), hasLength: l.HasQueue, hasLimit: l.HasLimit}
	if l.HasQueue && l.HasLimit && l.Limit > 0 {
		q.fullness = q.length / q.limit
	}
	return q
}

func (q *queue) add(o queue) {
	q.length += o.length
	q.limit += o.limit
	q.fullness = max(q.fullness, o.fullness)
	q.hasLength = q.hasLength || o.hasLength
	q.hasLimit = q.hasLimit || o.hasLimit
}

// queuesOf returns an app's accept queues by label. Several sockets with one
// address (SO_REUSEPORT, or IPv4 and IPv6 both on every address) are one
// listener. Those over the bound, the last in the order of labels, are one too.
func queuesOf(a *discovery.App) (byLabel map[string]*queue, labels []string, over int) {
	byLabel = make(map[string]*queue)
	for _, l := range a.Listeners {
		name := sockdiag.Label(l)
		if byLabel[name] == nil {
			byLabel[name] = &queue{}
			labels = append(labels, name)
		}
		byLabel[name].add(queueOf(l))
	}
	sort.Strings(labels)
	if len(labels) <= maxListeners {
		return byLabel, labels, 0
	}
	rest := &queue{}
	for _, name := range labels[maxListeners:] {
		rest.add(*byLabel[name])
	}
	over = len(labels) - maxListeners
	byLabel[otherListeners] = rest
	return byLabel, append(labels[:maxListeners:maxListeners], otherListeners), over
}

// queues publishes one app's listeners; over is how many have no series of their own.
func queues(s *Sample, out *model.AppListeners, a *discovery.App) (over int, why error) {
	byLabel, labels, over := queuesOf(a)
	complete := true
	for _, name := range labels {
		q := byLabel[name]
		l := model.Listener{Name: cleaned(name)}
		if q.hasLength {
			s.set(&l.Length, queueFamily, q.length, a.Name, name)
		}
		if q.hasLimit {
			s.set(&l.Limit, queueMaxFamily, q.limit, a.Name, name)
		}
		if q.hasLength && q.hasLimit && q.limit > 0 {
			l.Fullness = model.Known(max(q.fullness, q.length/q.limit))
		}
		out.Listeners = append(out.Listeners, l)
		complete = complete && q.hasLength && q.hasLimit
	}
	switch {
	case len(labels) == 0 && a.FDsErr != nil:
		why = lackOfApp(a.Name, Permission, "the listeners of "+a.Name+" need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", CureProcesses)
	case len(labels) == 0 && a.Configured:
		why = lackOfApp(a.Name, NotFound, a.Name+" holds no listening socket", "")
	case !complete:
		why = queuesRefused(a)
	}
	return over, why
}

// queuesRefused says what the accept queues need: in another network namespace
// a capability, in ours only that sock_diag is not forbidden.
func queuesRefused(a *discovery.App) error {
	if own, err := os.Stat("/proc/self/ns/net"); err == nil {
		if st, ok := own.Sys().(*syscall.Stat_t); ok && st.Ino == a.NetNS {
			return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s cannot be read: netlink sockets are refused (%v)", a.Name, a.QueueErr), cureNetlink)
		}
	}
	return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s are in another network namespace; reading them needs CAP_SYS_ADMIN (%v)", a.Name, a.QueueErr), cureNamespaces)
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
