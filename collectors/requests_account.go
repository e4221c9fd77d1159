package collectors

import (
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The bounds of what one sender can make us remember.
const (
	maxRouteBytes = 256
	maxCodes      = 40 // distinct status codes an app may have
	pairsPerRoute = 10 // all apps together: pairs of method and route, per MaxRoutes
	pairsForEach  = 40 // pairs that an app may have even where others took all
)

// other is the label value of what goes beyond a bound.
const other = "other"

const (
	levelCount  = 4
	methodCount = 11
	otherMethod = methodCount - 1
)

// logLevels returns the values of the label level, by the index in account.logs.
func logLevels() [levelCount]string {
	return [...]string{"critical", "error", "warning", "exception"}
}

// methodNames returns the values of the label method, by the index in
// route.methods: none, those of RFC 9110 and RFC 5789, and the rest.
func methodNames() [methodCount]string {
	return [...]string{"", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", other}
}

// limits is what all accounts share: bounds, and what went beyond them.
type limits struct {
	slow      float64 // seconds
	maxRoutes int
	// Pairs of method and route that accounts hold beyond the first, by the
	// standing of the account: strangers do not use up what apps need.
	pairs [accountClasses]int
	// Events that were folded into something else, by family; lines of them, and
	// lines that were dropped because their sender may not report for the app.
	requests, durations, logs, lines, untrusted uint64
}

// room reports whether an account may have one more pair.
func (l *limits) allowsPair(a *account) bool {
	all := l.maxRoutes * pairsPerRoute
	switch a.class {
	case classWatched:
		// One app cannot take more than half, and each has some for itself.
		return l.pairs[classWatched] < all && a.pairs < all/2 || a.pairs < min(pairsForEach, all/2)
	case classTrusted, classAttributed:
		return l.pairs[a.class] < all
	default:
		return l.pairs[a.class] < all/4
	}
}

// refuse notes an event that a bound kept from its own series.
func (l *limits) countFolded(e *ingest.Event) {
	if !e.Again {
		l.lines++
	}
	switch e.Kind {
	case ingest.Request:
		l.requests++
		l.durations++
	case ingest.Status:
		l.requests++
	case ingest.Duration:
		l.durations++
	case ingest.Log:
		l.logs++
	case ingest.Ignored:
	}
}

// standing is what an account is believed to be.
type accountClass uint8

const (
	classPending    accountClass = iota // what a sender sent that is not judged yet
	classAttributed                     // what one sent that is known to report for an app
	classClaimed                        // an app that nobody watches, as its first sender calls it
	classTrusted                        // an app that nobody watches, of a sender who may report for all
	classWatched                        // an app whose processes are watched, or were
	accountClasses                      // how many there are
)

// account is what one app, or one sender whose app is not known yet, reported.
type account struct {
	name      string
	class     accountClass
	owner     userKey  // of a claimed one
	users     []uint32 // of a watched one: the user ids of its processes, when it last had some
	unwatched bool     // it was watched, and is not any more
	lastEvent time.Time
	lines     uint64 // of one that waits

	routes        map[string]*route
	codes         [10]uint64 // one bit for each status code that has a counter
	distinctCodes int        // how many bits are set
	slow          weightedCount
	logs          [levelCount]weightedCount
	pairs         int
	hasDurations  bool   // reported a duration
	wholeRequests bool   // reports whole requests: what gunicorn says of them is ignored
	fromServer    bool   // gunicorn reports for it
	dirty         bool   // has something that was not merged, or was heard of since the last look
	serial        uint64 // tells one account from an earlier one of that name
}

// route holds one route's pairs, by the method's index.
type route struct {
	name    string
	methods [methodCount]*pair
}

// pair is one pair of method and route.
type pair struct {
	codes     []codeCount      // few: a search beats a map
	durations *durationBuckets // nil: no duration was reported
}

type codeCount struct {
	code int
	weightedCount
}

// observe counts an event, and says whether a bound put it where others are.
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
	case ingest.Ignored:
	}
	return folded
}

func (a *account) countLog(e *ingest.Event) {
	for i, level := range logLevels() {
		if string(e.Level) == level {
			a.logs[i].add(e.Weight)
			a.fromServer = true
			return
		}
	}
}

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

// admit returns the code under which another one counts. RFC 9110 lets whoever
// does not know a code take it for the x00 of its class; that keeps the shares
// of the classes right when somebody sends all codes there are.
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

func (p *pair) code(code int) *weightedCount {
	for i := range p.codes {
		if p.codes[i].code == code {
			return &p.codes[i].weightedCount
		}
	}
	p.codes = append(p.codes, codeCount{code: code})
	return &p.codes[len(p.codes)-1].weightedCount
}

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

// first finds the pair of events that have neither method nor route.
func (a *account) unnamedPair(l *limits) *pair {
	if r := a.routes[""]; r != nil && r.methods[0] != nil {
		return r.methods[0]
	}
	p, _ := a.ensurePair(0, "", l)
	return p
}

// pair finds the pair of a request, or makes it within the bounds.
func (a *account) pair(e *ingest.Event, l *limits) (p *pair, folded bool) {
	m := methodIndex(e.Method)
	if r := a.routes[string(e.Route)]; r != nil && r.methods[m] != nil {
		return r.methods[m], false
	}
	return a.ensurePair(m, strings.ToValidUTF8(string(e.Route), "\uFFFD"), l)
}

func (a *account) ensurePair(m int, path string, l *limits) (p *pair, folded bool) {
	if a.routes[path] == nil && (len(path) > maxRouteBytes || path != "" && path != other && a.namedRoutes() >= l.maxRoutes) {
		path, folded = other, true
	}
	if r := a.routes[path]; r != nil && r.methods[m] != nil {
		return r.methods[m], folded
	}
	// The first pair of all, and the last resort, are always to be had.
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

// named counts the routes that have a name of their own.
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

// merge moves all that o holds into a. If a's app reports whole requests and o
// has only what gunicorn says, that is dropped: it is known already.
func (a *account) merge(o *account, l *limits) {
	l.pairs[o.class] -= o.pairs
	for i := range o.logs {
		a.logs[i].merge(o.logs[i])
	}
	a.dirty, a.fromServer = true, a.fromServer || o.fromServer
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

// refuse notes that all of a goes to an app that stands for several.
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
}

func (a *account) mergePair(m int, path string, from *pair, l *limits) {
	to, folded := a.ensurePair(m, path, l)
	for _, c := range from.codes {
		code := a.countedCode(c.code)
		if code != c.code || folded {
			l.requests += c.n // as series; as lines they were counted when they came
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

func methodIndex(b []byte) int {
	for i, name := range methodNames() {
		if string(b) == name {
			return i
		}
	}
	return otherMethod
}
