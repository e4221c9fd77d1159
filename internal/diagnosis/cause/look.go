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

// look holds what one state reports of one app, and what has changed since the state
// before.
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
	latest  requests // of them, those since the look before
	done    float64  // requests that ended since the look before; 0: not known
}

// threadAt is a thread of a worker.
type threadAt struct {
	*model.Thread

	worker *model.Worker
}

// newLook returns what the state, read at now, reports of one app, which must be judged
// (isJudged), compared with the look before that a keeps; its span is 0 if there is none, or
// none within maxGap. It records in a which servers the app uses.
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
	l.recent, l.latest = a.requests.since(l, 0), a.requests.since(l, a.requests.n-1)
	if l.span > 0 {
		l.done = l.latest.total
	}
	return l
}

// addBacklog adds to l.queue the requests that a server has accepted and no thread works
// on: gthread accepts more than it has threads.
func (l *look) addBacklog() {
	if n := l.totals.InFlight; n != nil && !l.loop && l.span > 0 {
		if more := *n - math.Round(l.capacity()); more > 0 {
			sum := valueOf(l.queue) + more
			l.queue = &sum
		}
	}
}

// addThreads sets l.threads: the threads that have a request.
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

// isFresh reports whether at least half of the workers have just started (freshFor), or are
// not ready yet and younger than bootingFor. false too if the processes are not known.
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

// utilization returns the part of the time of the request threads, from 0 to 1, in which
// they had a request; 0 if it is not known.
func (l *look) utilization() float64 {
	if l.all <= 0 {
		return 0
	}
	return l.inHand / l.all
}

// use records in a.servers to which stores the app has connections now, and forgets those
// to which it has had none for 10 minutes.
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

// poll records in a.polled at which servers a connection of the app waits for data by
// design now, and forgets those at which none has for a minute.
func (a *app) poll(l *look) {
	for i := range l.state.StoreConnections {
		c := &l.state.StoreConnections[i]
		if _, known := a.polled[c.Server]; c.App == l.workers.App && waitsForData(c.Command) && (known || len(a.polled) < maxServers) {
			a.polled[c.Server] = l.now
		}
	}
	maps.DeleteFunc(a.polled, func(_ string, at time.Time) bool { return l.now.Sub(at) > polledFor })
}

// waitsByDesign reports whether a thread's wait for a Redis server may be one for data: its
// connection runs a command that waits for data, or one of the app did at that server in the
// last minute and it is not down. False too if the server's connections are not known, such
// as those of one that is not configured.
func (l *look) waitsByDesign(t threadAt) bool {
	if c := l.connectionOf(t); c != nil && waitsForData(c.Command) {
		return true
	}
	return l.polls(t.Peer)
}

// polls reports whether a connection of the app has waited for data at a server in the last
// minute, and the server is no Redis that does not answer; "": at any server.
func (l *look) polls(server string) bool {
	for name := range l.polled {
		down := slices.ContainsFunc(l.state.Redis, func(r model.RedisServer) bool { return "redis:"+r.Name == name && !r.Up })
		if (server == "" || name == server) && !down {
			return true
		}
	}
	return false
}

// isStore reports whether a component is a MySQL or Redis server of the configuration, by
// its prefix.
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

// requestsOf returns the counters of the app's requests; false if their number or that of
// the errors is not reported. timed and seconds are 0 if the times are not.
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

// add adds the request counters of a look, in place of the oldest ones if there are
// keptCounts. A look without counters removes all.
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

// since returns how many requests there were since the i-th of the readings that are
// kept; 0 if that is not known, or the counters began anew.
func (c *counters) since(l *look, i int) requests {
	r, ok := requestsOf(l)
	if !ok || c.n == 0 {
		return requests{}
	}
	b := c.at[i]
	if r.total < b.total || r.timed < b.timed { // they were counted anew
		return requests{}
	}
	return requests{r.total - b.total, r.errors - b.errors, r.timed - b.timed, r.seconds - b.seconds}
}

// oldestTask returns the age in seconds of the oldest task that waits in a queue of the
// app; 0 if none does, or it is not known.
func (l *look) oldestTask() (age float64) {
	for i := range l.state.Queues {
		if q := &l.state.Queues[i]; q.App == l.workers.App && q.Length > 0 {
			age = max(age, valueOf(q.Oldest))
		}
	}
	return age
}

// waitsForData reports whether a Redis command may wait by design: for what another client
// writes or publishes, or for replicas; xread and xreadgroup with or without BLOCK.
func waitsForData(command string) bool {
	switch strings.ToLower(command) {
	case "blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup",
		"subscribe", "psubscribe", "ssubscribe", "wait", "waitaof", "monitor":
		return true
	}
	return false
}

// connectionOf returns the connection on which a thread waits; nil if it is not known.
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
