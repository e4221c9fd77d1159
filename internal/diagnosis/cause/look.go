package cause

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxGap is the longest time between two looks that are compared.
	maxGap = 30 * time.Second
	// maxServers is how many servers of one app are remembered.
	maxServers = 16
	// usedFor is for how long an app counts as one that uses a server after its last
	// connection to it.
	usedFor = 10 * time.Minute
	// polledFor is for how long an app counts as one that waits at a server for data after
	// it was last seen to.
	polledFor = time.Minute
)

// look is what one state says of one app, with what has changed since the state before.
type look struct {
	state   *model.State
	now     time.Time
	workers *model.AppWorkers
	process *model.App
	totals  *model.AppWaits

	span    float64            // seconds since the look before; 0: there is none to compare with
	spent   map[string]float64 // seconds of the request threads since then, by Thread.On
	blocked float64            // seconds that event loops were blocked since then
	loop    bool               // its workers are event loops
	all     float64            // all of spent
	inHand  float64            // that of it with a request
	threads []threadAt         // request threads with a request, as they were seen
	polled  map[string]time.Time
	queue   *float64 // requests that no thread works on yet
	fresh   bool     // half of its workers were started a moment ago, or are not ready
	recent  requests // of the last looks
	done    float64  // requests that ended since the look before; 0: not known
}

// threadAt is a thread of a worker.
type threadAt struct {
	*model.Thread

	worker *model.Worker
}

// newLook returns what a state says of one app.
func newLook(s *model.State, w *model.AppWorkers, now time.Time, a *app) *look {
	l := &look{state: s, now: now, workers: w, process: measures.App(s, w.App), queue: measures.QueueLength(s, w.App), spent: make(map[string]float64)}
	i := slices.IndexFunc(s.Waits, func(x model.AppWaits) bool { return x.App == w.App })
	l.totals = &s.Waits[i]
	l.loop = l.totals.Blocked != nil
	if gap := now.Sub(a.seen); !a.seen.IsZero() && gap > 0 && gap <= maxGap {
		l.span = gap.Seconds()
		for on, v := range l.totals.Spent {
			l.spent[on] = max(0, v-a.spent[on])
			l.all += l.spent[on]
		}
		l.inHand = l.all - l.spent["idle"]
		if l.loop && a.blocked != nil {
			l.blocked = max(0, *l.totals.Blocked-*a.blocked)
		}
	}
	a.use(l)
	a.poll(l)
	l.polled = a.polled
	l.addBacklog()
	l.addThreads()
	l.fresh = l.isFresh()
	l.recent, l.done = a.requests.since(l), a.requests.last(l)
	return l
}

// addBacklog adds the requests that a server has accepted and no thread works on to those
// that wait to be accepted: gthread accepts more than it has threads.
func (l *look) addBacklog() {
	if n := l.totals.InFlight; n != nil && !l.loop && l.span > 0 {
		if more := *n - math.Round(l.capacity()); more > 0 {
			sum := valueOf(l.queue) + more
			l.queue = &sum
		}
	}
}

// addThreads adds the threads that have a request.
func (l *look) addThreads() {
	for i := range l.workers.Workers {
		w := &l.workers.Workers[i]
		for j := range w.Threads {
			if t := &w.Threads[j]; !t.Helper && t.On != "idle" {
				l.threads = append(l.threads, threadAt{t, w})
			}
		}
	}
}

const (
	// freshFor is how long after its start a worker is new, and bootingFor the same for one
	// that is not ready yet: on a busy host an app takes longer to load.
	freshFor   = 20 * time.Second
	bootingFor = 2 * time.Minute
)

// isFresh reports whether at least half of the workers are new or not ready yet.
func (l *look) isFresh() bool {
	if l.process == nil || len(l.process.Workers) == 0 {
		return false
	}
	n := 0
	at := float64(l.now.UnixMilli()) / 1000
	for i := range l.process.Workers {
		p := &l.process.Workers[i]
		limit := freshFor
		if slices.ContainsFunc(l.workers.Workers, func(w model.Worker) bool { return w.Slot == p.Slot && w.State == "booting" }) {
			limit = bootingFor
		}
		if at-p.Started < limit.Seconds() {
			n++
		}
	}
	return 2*n >= len(l.process.Workers)
}

// capacity returns how many request threads the app has; 0: not known.
func (l *look) capacity() float64 {
	if l.span == 0 {
		return 0
	}
	return l.all / l.span
}

// utilization returns the part of the thread time with a request.
func (l *look) utilization() float64 {
	if l.all <= 0 {
		return 0
	}
	return l.inHand / l.all
}

// use remembers which servers the app has connections to.
func (a *app) use(l *look) {
	for i := range l.state.Connections {
		c := &l.state.Connections[i]
		if c.App != l.workers.App || c.Count <= 0 || !isStore(c.Component) {
			continue
		}
		if _, known := a.servers[c.Component]; known || len(a.servers) < maxServers {
			a.servers[c.Component] = l.now
		}
	}
	maps.DeleteFunc(a.servers, func(_ string, at time.Time) bool { return l.now.Sub(at) > usedFor })
}

// poll remembers at which servers the app waits for data by design.
func (a *app) poll(l *look) {
	for i := range l.state.StoreConnections {
		c := &l.state.StoreConnections[i]
		if _, known := a.polled[c.Server]; c.App == l.workers.App && waitsForData(c.Command) && (known || len(a.polled) < maxServers) {
			a.polled[c.Server] = l.now
		}
	}
	maps.DeleteFunc(a.polled, func(_ string, at time.Time) bool { return l.now.Sub(at) > polledFor })
}

// waitsByDesign reports whether a wait for a Redis server that no chain explains may be one
// for data: its connection does, or another one of the app does and the server answers. The
// list of connections is a little older or newer than what the threads are seen in.
func (l *look) waitsByDesign(t threadAt) bool {
	if c := l.connectionOf(t); c != nil && waitsForData(c.Command) {
		return true
	}
	return l.polls(t.Peer)
}

// polls reports whether the app waits at a server that answers for data by design; "": at
// any.
func (l *look) polls(server string) bool {
	for name := range l.polled {
		down := slices.ContainsFunc(l.state.Redis, func(r model.RedisServer) bool { return "redis:"+r.Name == name && !r.Up })
		if (server == "" || name == server) && !down {
			return true
		}
	}
	return false
}

// isStore reports whether a component is a MySQL or Redis server of the configuration.
func isStore(component string) bool {
	return strings.HasPrefix(component, "mysql:") || strings.HasPrefix(component, "redis:")
}

// keptCounts is how many readings of the counters of requests are kept.
const keptCounts = 4

// counters is the last readings of the counters of requests, the newest last.
type counters struct {
	at [keptCounts]requests
	n  int
}

// requests is counts of requests.
type requests struct{ total, errors, timed, seconds float64 }

// requestsOf returns the counters of a look; false without requests.
func requestsOf(l *look) (requests, bool) {
	r := measures.Requests(l.state, l.workers.App)
	if r == nil || r.Total == nil || r.Errors == nil {
		return requests{}, false
	}
	out := requests{total: *r.Total, errors: *r.Errors}
	if r.Timed != nil && r.Seconds != nil {
		out.timed, out.seconds = *r.Timed, *r.Seconds
	}
	return out, true
}

func (c *counters) add(l *look) {
	r, ok := requestsOf(l)
	if !ok {
		c.n = 0
		return
	}
	if c.n == keptCounts {
		copy(c.at[:], c.at[1:])
		c.n--
	}
	c.at[c.n] = r
	c.n++
}

// since returns the requests since the oldest reading that is kept.
func (c *counters) since(l *look) requests {
	r, ok := requestsOf(l)
	if !ok || c.n == 0 || r.total < c.at[0].total || r.timed < c.at[0].timed {
		return requests{}
	}
	b := c.at[0]
	return requests{r.total - b.total, r.errors - b.errors, r.timed - b.timed, r.seconds - b.seconds}
}

// last returns how many requests ended since the reading before.
func (c *counters) last(l *look) float64 {
	r, ok := requestsOf(l)
	if !ok || c.n == 0 || l.span == 0 {
		return 0
	}
	return max(0, r.total-c.at[c.n-1].total)
}

// oldestTask returns the age of the oldest task that waits in a queue of the app.
func (l *look) oldestTask() (age float64) {
	for i := range l.state.Queues {
		if q := &l.state.Queues[i]; q.App == l.workers.App && q.Length > 0 {
			age = max(age, valueOf(q.Oldest))
		}
	}
	return age
}

// waitsForData reports whether a command of Redis waits until somebody writes.
func waitsForData(command string) bool {
	switch strings.ToLower(command) {
	case "blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup",
		"subscribe", "psubscribe", "ssubscribe", "wait", "waitaof", "monitor":
		return true
	}
	return false
}

// connectionOf returns the connection on which a thread waits; nil: it is not known.
func (l *look) connectionOf(t threadAt) *model.StoreConnection {
	if t.Socket == 0 {
		return nil
	}
	i := slices.IndexFunc(l.state.StoreConnections, func(c model.StoreConnection) bool { return c.Socket == t.Socket && c.Server == t.Peer })
	if i < 0 {
		return nil
	}
	return &l.state.StoreConnections[i]
}
