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

// Listener is the collector "listener": the accept queues of the apps' listening
// sockets.
type Listener struct {
	apps     Apps
	procRoot string

	mu        sync.Mutex
	overflows map[uint64]*window // by network namespace
	leftOut   map[string]int     // by app: the most listeners that were over maxListeners at once
	dropped   int                // sum of all values that were ever in leftOut
}

// maxListeners is the maximum number of listeners of one app with their own series.
// The others are summed under the label value otherListeners.
const (
	maxListeners   = 64
	otherListeners = "other"
)

// NewListener returns the collector "listener".
func NewListener(apps Apps, procRoot string) *Listener {
	return &Listener{apps: apps, procRoot: procRoot, overflows: make(map[uint64]*window), leftOut: make(map[string]int)}
}

// Name implements [Collector].
func (*Listener) Name() string { return "listener" }

// Descs implements [Collector].
func (*Listener) Descs() []*prometheus.Desc {
	return descs(queueFamily, queueMaxFamily, overflowsFamily, dropsFamily, seriesDropped)
}

// Collect implements [Collector]. An app that is down is left out. The error has a lack for
// each app of which a queue cannot be read, and for each without a listener that is
// configured or whose descriptors cannot be read; what could be read is in the sample. If
// the processes cannot be read, the sample is empty.
func (c *Listener) Collect(ctx context.Context) (Sample, error) {
	snap, err := c.apps.Snapshot(ctx)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	var lacks []error
	netstat := make(map[uint64]listenCounters) // one read per network namespace
	leftOut := make(map[string]int)
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if !a.Up {
			continue
		}
		out := model.AppListeners{App: a.Name}
		more, why := publishQueues(&s, &out, a)
		if why != nil {
			lacks = append(lacks, why)
		}
		leftOut[a.Name] = more
		n, ok := netstat[a.NetNS]
		if !ok {
			n = c.readCounters(a.PID)
			netstat[a.NetNS] = n
			c.addOverflows(a.NetNS, n, snap.Time)
		}
		if n.ok {
			s.add(overflowsFamily, n.overflows, a.Name)
			s.add(dropsFamily, n.drops, a.Name)
			if growth, ok := c.overflowGrowth(a.NetNS, n, snap.Time); ok {
				out.Overflows5m = model.Known(growth)
			}
		}
		s.State.Listeners = append(s.State.Listeners, out)
	}
	c.prune(netstat)
	s.add(seriesDropped, float64(c.countLeftOut(leftOut)), queueFamily.name)
	return s, errors.Join(lacks...)
}

// countLeftOut returns the most listeners that each app has had over its limit at once,
// summed up over all apps since the start; an app that was away counts anew. leftOut has
// how many there are now, by app, and is kept.
func (c *Listener) countLeftOut(leftOut map[string]int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for app, n := range leftOut {
		c.dropped += max(0, n-c.leftOut[app])
		leftOut[app] = max(n, c.leftOut[app])
	}
	c.leftOut = leftOut
	return c.dropped
}

// addOverflows adds a reading of the overflows in a network namespace to its window. The
// counter begins with the namespace, so only its growth tells something about now.
func (c *Listener) addOverflows(ns uint64, n listenCounters, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.overflows[ns] == nil {
		c.overflows[ns] = &window{}
	}
	if n.ok {
		c.overflows[ns].add(now, n.overflows)
	}
}

// overflowGrowth returns by how much the overflows of a network namespace grew in the last
// five minutes, or since the first reading if that is newer; false before the second
// reading.
func (c *Listener) overflowGrowth(ns uint64, n listenCounters, now time.Time) (float64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overflows[ns].growth(now, n.overflows)
}

// prune removes the windows of network namespaces that are not in seen.
func (c *Listener) prune(seen map[uint64]listenCounters) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ns := range c.overflows {
		if _, ok := seen[ns]; !ok {
			delete(c.overflows, ns)
		}
	}
}

// queue is the sum of the accept queues of the sockets with one label.
type queue struct {
	length, limit       float64
	fullness            float64 // length divided by limit, of the fullest socket
	hasLength, hasLimit bool
}

// socketQueue returns the accept queue of one listening socket, in connections. What the
// kernel does not report is 0, and hasLength or hasLimit is false.
func socketQueue(l sockdiag.Listener) queue {
	q := queue{length: float64(l.Queue), limit: float64(l.Limit), hasLength: l.HasQueue, hasLimit: l.HasLimit}
	if l.HasQueue && l.HasLimit && l.Limit > 0 {
		q.fullness = q.length / q.limit
	}
	return q
}

// add adds the length and limit of another socket's queue.
func (q *queue) add(o queue) {
	q.length += o.length
	q.limit += o.limit
	q.fullness = max(q.fullness, o.fullness)
	q.hasLength = q.hasLength || o.hasLength
	q.hasLimit = q.hasLimit || o.hasLimit
}

// queuesByLabel returns an app's accept queues by label, and the sorted labels. Several
// sockets with one address (SO_REUSEPORT, IPv4 and IPv6 wildcards) are one listener: the
// sum of those read. Of more than 64 labels the last ones are missing in labels, which then
// ends with otherListeners, their sum; over is how many these are.
func queuesByLabel(a *discovery.App) (byLabel map[string]*queue, labels []string, over int) {
	byLabel = make(map[string]*queue)
	for _, l := range a.Listeners {
		name := sockdiag.Label(l)
		if byLabel[name] == nil {
			byLabel[name] = &queue{}
			labels = append(labels, name)
		}
		byLabel[name].add(socketQueue(l))
	}
	sort.Strings(labels)
	if len(labels) <= maxListeners {
		return byLabel, labels, 0
	}
	others := &queue{}
	for _, name := range labels[maxListeners:] {
		others.add(*byLabel[name])
	}
	over = len(labels) - maxListeners
	byLabel[otherListeners] = others
	return byLabel, append(labels[:maxListeners:maxListeners], otherListeners), over
}

// publishQueues adds the series and the state of one app's listeners. over is how many
// listeners got no series of their own. why is a lack if no socket of a listener has a
// known length, or none a known limit, or if no listener is known and the app is configured
// or its descriptors could not be read; else nil.
func publishQueues(s *Sample, out *model.AppListeners, a *discovery.App) (over int, why error) {
	byLabel, labels, over := queuesByLabel(a)
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
		why = lackOfApp(a.Name, Permission, "the listeners of "+a.Name+" need its uid or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", RemedyProcesses)
	case len(labels) == 0 && a.Configured:
		why = lackOfApp(a.Name, NotFound, a.Name+" holds no listening socket", "")
	case !complete:
		why = queuesLack(a)
	}
	return over, why
}

// queuesLack returns the lack of an app whose accept queues cannot be read, with the
// remedy: a capability if they are in another network namespace, or the exporter's own is
// not known; else that sock_diag is allowed.
func queuesLack(a *discovery.App) error {
	if own, err := os.Stat("/proc/self/ns/net"); err == nil {
		if st, ok := own.Sys().(*syscall.Stat_t); ok && st.Ino == a.NetNS {
			return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s cannot be read: netlink sockets are refused (%v)", a.Name, a.QueueErr), remedyNetlink)
		}
	}
	return lackOfApp(a.Name, Permission, fmt.Sprintf("the accept queues of %s are in another network namespace; reading them needs CAP_SYS_ADMIN (%v)", a.Name, a.QueueErr), remedyNamespaces)
}

// listenCounters is ListenOverflows and ListenDrops of a network namespace.
type listenCounters struct {
	overflows, drops float64
	ok               bool
}

// readCounters returns the counters of listening sockets in a process's network namespace
// (/proc/PID/net/netstat), which count from the begin of the namespace; ok is false in
// them if they cannot be read.
func (c *Listener) readCounters(pid int) listenCounters {
	b, err := os.ReadFile(c.procRoot + "/" + strconv.Itoa(pid) + "/net/netstat")
	if err != nil {
		return listenCounters{}
	}
	overflows, drops, err := parseListenCounters(b)
	return listenCounters{overflows: overflows, drops: drops, ok: err == nil}
}
