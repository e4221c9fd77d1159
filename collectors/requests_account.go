package collectors

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The limits of what one sender can make the collector store.
const (
	maxRouteBytes = 256
	maxCodes      = 40 // distinct status codes of an app
	pairsPerRoute = 10 // pairs of method and route of all apps together, divided by MaxRoutes
	pairsForEach  = 40 // pairs that an app may have even if the others use up all
)

// other is the label value of what is over a limit.
const other = "other"

const (
	levelCount  = 4
	methodCount = 11
	otherMethod = methodCount - 1
)

// logLevels returns the values of the label level, in the order of account.logs.
func logLevels() [levelCount]string {
	return [...]string{"critical", "error", "warning", "exception"}
}

// methodNames returns the values of the label method, in the order of route.methods:
// none, those of RFC 9110 and RFC 5789, and the rest.
func methodNames() [methodCount]string {
	return [...]string{"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", other}
}

// account holds the counters of one app, or of one sender whose app is not known yet.
type account struct {
	name      string
	class     accountClass
	owner     userKey  // classClaimed: the user that claimed the name
	users     []uint32 // classWatched: the user ids of its processes when it last had any
	unwatched bool     // classWatched, but the app is not watched any more
	lastEvent time.Time
	heard     bool      // the app side itself has reported through a listener since heardAt
	heardAt   time.Time // when it was last found to have
	lines     uint64    // classPending: the lines that it has

	routes        map[string]*route
	codes         [10]uint64 // one bit for each status code that has a counter
	distinctCodes int        // how many bits are set
	slow          weightedCount
	logs          [levelCount]weightedCount
	inside        insideCounts
	pairs         int    // of method and route, and names of pools and tasks
	hasDurations  bool   // a duration was reported
	wholeRequests bool   // whole requests are reported: gunicorn's events are ignored
	fromServer    bool   // gunicorn reports for it
	tellsKilled   bool   // classWatched: its workers said which requests are in progress
	dirty         bool   // has had events since it was last merged or marked as seen
	serial        uint64 // differs from that of an earlier account of that name
}

// route holds one route's pairs, by the method's index.
type route struct {
	name    string
	methods [methodCount]*pair
}

// pair is one pair of method and route.
type pair struct {
	codes     []codeCount      // few: a linear search is faster than a map
	killed    uint64           // requests that the end of their worker cut off
	durations *durationBuckets // nil: no duration was reported
}

// codeCount is the number of requests with one status code.
type codeCount struct {
	code int
	weightedCount
}

// observe counts an event in the account; a status or duration that a server reports by
// itself no longer counts once the account had a whole request. folded: a limit keeps it
// from a series of its own, and it counts in one for what is over the limit.
func (a *account) observe(e *ingest.Event, l *limits) (folded bool) {
	a.dirty = true
	switch e.Kind {
	case ingest.Log:
		a.countLog(e)
	case ingest.Status:
		if a.fromServer = true; !a.wholeRequests {
			folded = a.countStatus(a.unnamedPair(l), e)
		}
	case ingest.Duration:
		if a.fromServer = true; !a.wholeRequests {
			a.countDuration(a.unnamedPair(l), e, l)
		}
	case ingest.Request:
		a.wholeRequests = true
		var p *pair
		p, folded = a.pair(e, l)
		folded = a.countStatus(p, e) || folded
		a.countDuration(p, e, l)
	case ingest.QueueTime, ingest.PoolWait, ingest.TaskRun:
		folded = a.countInside(e, l)
	case ingest.Ignored:
	}
	return folded
}

// countLog counts a line of the server's log by its level; other levels are ignored.
func (a *account) countLog(e *ingest.Event) {
	for i, level := range logLevels() {
		if string(e.Level) == level {
			a.logs[i].add(e.Weight)
			a.fromServer = true
			return
		}
	}
}

// countStatus counts the status code of an event. folded: as the x00 of its class,
// because of the limit.
func (a *account) countStatus(p *pair, e *ingest.Event) (folded bool) {
	for i := range p.codes {
		if p.codes[i].code == e.Code {
			p.codes[i].add(e.Weight)
			return false
		}
	}
	code := a.countedCode(e.Code)
	p.code(code).add(e.Weight)
	return code != e.Code
}

// countedCode returns the code as which a status code counts: itself or, if the app has had
// 40 other ones already, the x00 of its class, as which RFC 9110 lets clients treat unknown
// codes. Codes x00 are not among the 40. So the shares of the classes stay right whatever
// is sent.
func (a *account) countedCode(code int) int {
	word, bit := code/64%len(a.codes), uint64(1)<<(code%64)
	switch {
	case a.codes[word]&bit != 0, code%100 == 0:
		return code
	case a.distinctCodes >= maxCodes:
		return code / 100 * 100
	}
	a.codes[word] |= bit
	a.distinctCodes++
	return code
}

// code returns the counter of a status code, which it makes if there is none. The pointer
// is valid until the next call, which may move the counters.
func (p *pair) code(code int) *weightedCount {
	for i := range p.codes {
		if p.codes[i].code == code {
			return &p.codes[i].weightedCount
		}
	}
	p.codes = append(p.codes, codeCount{code: code})
	return &p.codes[len(p.codes)-1].weightedCount
}

// countDuration counts the duration of an event and, if that is too long, a slow request.
func (a *account) countDuration(p *pair, e *ingest.Event, l *limits) {
	if p.durations == nil {
		p.durations = &durationBuckets{}
	}
	p.durations.observe(e.Seconds, e.Weight)
	a.hasDurations = true
	if e.Seconds > l.slow {
		a.slow.add(e.Weight)
	}
}

// unnamedPair returns the counts of requests with neither method nor route. It makes them
// if there are none, whatever the limits are.
func (a *account) unnamedPair(l *limits) *pair {
	if r := a.routes[""]; r != nil && r.methods[0] != nil {
		return r.methods[0]
	}
	p, _ := a.ensurePair(0, "", l)
	return p
}

// pair returns the counts of a request's method and route, as [account.ensurePair] does.
func (a *account) pair(e *ingest.Event, l *limits) (p *pair, folded bool) {
	m := methodIndex(e.Method)
	if r := a.routes[string(e.Route)]; r != nil && r.methods[m] != nil {
		return r.methods[m], false
	}
	return a.ensurePair(m, strings.ToValidUTF8(string(e.Route), "\uFFFD"), l)
}

// ensurePair returns the counts of a route and the m-th method, which it makes if the
// limits allow it. folded: they do not, and the counts are those of the route "other":
// with the same method if only routes are too many or the path is too long, else with the
// method "other".
func (a *account) ensurePair(m int, path string, l *limits) (p *pair, folded bool) {
	if a.routes[path] == nil && (len(path) > maxRouteBytes || path != "" && path != other && a.namedRoutes() >= l.maxRoutes) {
		path, folded = other, true
	}
	if r := a.routes[path]; r != nil && r.methods[m] != nil {
		return r.methods[m], folded
	}
	// The pair without method and route, and the one for what is over a limit, are
	// always allowed.
	isUnnamed := path == "" && m == 0
	if !isUnnamed && !l.allowsPair(a) {
		path, m, folded = other, otherMethod, true
	}
	r := a.routes[path]
	if r == nil {
		if a.routes == nil {
			a.routes = make(map[string]*route)
		}
		r = &route{name: path}
		a.routes[path] = r
	}
	if r.methods[m] == nil {
		r.methods[m] = &pair{}
		if !isUnnamed {
			a.pairs++
			l.pairs[a.class]++
		}
	}
	return r.methods[m], folded
}

// namedRoutes returns how many routes there are, not counting "" and "other".
func (a *account) namedRoutes() int {
	n := len(a.routes)
	if a.routes[""] != nil {
		n--
	}
	if a.routes[other] != nil {
		n--
	}
	return n
}

// merge moves all counts of o to a. If a has whole requests and o only gunicorn's own
// events, requests of o are dropped: they are the same.
func (a *account) merge(o *account, l *limits) {
	l.pairs[o.class] -= o.pairs
	for i := range o.logs {
		a.logs[i].merge(o.logs[i])
	}
	a.mergeInside(&o.inside, l)
	a.dirty, a.fromServer, a.heard = true, a.fromServer || o.fromServer, a.heard || o.heard
	if o.wholeRequests || !a.wholeRequests {
		a.wholeRequests = o.wholeRequests
		a.hasDurations = a.hasDurations || o.hasDurations
		a.slow.merge(o.slow)
		for _, r := range o.routes {
			for m, p := range r.methods {
				if p != nil {
					a.mergePair(m, r.name, p, l)
				}
			}
		}
	}
	*o = account{name: o.name, class: o.class}
}

// countFolded counts all events of a as left out, because they go to an account that
// several apps share.
func (a *account) countFolded(l *limits) {
	for _, r := range a.routes {
		for _, p := range r.methods {
			if p == nil {
				continue
			}
			for _, c := range p.codes {
				l.requests += c.n
			}
			if p.durations != nil {
				l.durations += p.durations.count.n
			}
		}
	}
	for _, n := range a.logs {
		l.logs += n.n
	}
	a.inside.countFolded(l)
}

// mergePair adds the counts of a pair to those of a route and the m-th method.
func (a *account) mergePair(m int, path string, from *pair, l *limits) {
	to, folded := a.ensurePair(m, path, l)
	to.killed += from.killed
	for _, c := range from.codes {
		code := a.countedCode(c.code)
		if code != c.code || folded {
			l.requests += c.n // as series; as lines they were counted on arrival
		}
		to.code(code).merge(c.weightedCount)
	}
	if from.durations == nil {
		return
	}
	if to.durations == nil {
		to.durations = &durationBuckets{}
	}
	to.durations.merge(from.durations)
}

// methodIndex returns the index of a method in methodNames: 0 for none, otherMethod for
// one that is not known or not in capital letters.
func methodIndex(b []byte) int {
	for i, name := range methodNames() {
		if string(b) == name {
			return i
		}
	}
	return otherMethod
}
