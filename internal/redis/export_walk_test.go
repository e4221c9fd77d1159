package redis

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// MatchOf, ParseKeyspace and Group are what a walk is made of.
var (
	MatchOf       = matchOf
	ParseKeyspace = parseKeyspace
	Group         = group
	Common        = common
)

// Pace says how fast a walk may go.
type Pace struct{ p *pace }

// NewPace returns one that knows nothing yet.
func NewPace() Pace { return Pace{newPace()} }

// Ping takes the time of a ping.
func (p Pace) Ping(took time.Duration) bool { return p.p.ping(took) }

// Charge takes what one page took.
func (p Pace) Charge(took time.Duration, trips, keys int) time.Duration {
	return p.p.charge(took, trips, keys)
}

// Page is how many keys to ask for.
func (p Pace) Page() int { return p.p.page }

// Rest is how long to rest after that.
func Rest(cost time.Duration) time.Duration { return rest(cost) }

// Space is a keyspace in memory. Each trip takes the time of Took.
type Space struct {
	Keys  []string         // in the order of the walk
	TTL   map[string]int64 // seconds; not there: no expiry; -2: gone, -4: moved
	Bytes int64            // of each
	ID    string           // of the process
	Nodes int              // of the cluster; each has all keys
	Took  time.Duration

	Fail  func(trip string) error // asked before each trip
	Trips map[string]int
	Asked int // keys asked after
	Spent time.Duration

	mu      sync.Mutex // guards all above while a walker runs
	refused *Error
}

// Do calls f while nothing reads or changes the space.
func (s *Space) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Refuse makes the space refuse to tell expiries and sizes.
func (s *Space) Refuse(e *Error) { s.Do(func() { s.refused = e }) }

// trip is called with the lock held, and sleeps without it: who waits for a
// lock stops the clock of a test.
func (s *Space) trip(name string) error {
	if s.Trips == nil {
		s.Trips = make(map[string]int)
	}
	s.Trips[name]++
	took := s.Took
	s.mu.Unlock()
	time.Sleep(took)
	s.mu.Lock()
	s.Spent += s.Took
	if s.Fail != nil {
		return s.Fail(name)
	}
	return nil
}

func (s *Space) nodes(context.Context) ([]node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []node
	for i := range max(s.Nodes, 1) {
		out = append(out, node{addr: fmt.Sprint(i), id: s.ID, keys: float64(len(s.Keys))})
	}
	return out, s.trip("nodes")
}

func (s *Space) ping(context.Context, string) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Took / 4, s.trip("ping")
}

func (s *Space) scan(_ context.Context, _ string, cursor uint64, match string, count int) (page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := page{took: s.Took}
	from := min(int(cursor), len(s.Keys))
	to := min(from+count, len(s.Keys))
	for _, k := range s.Keys[from:to] {
		if strings.HasPrefix(k, strings.TrimSuffix(match, "*")) {
			p.keys = append(p.keys, k)
		}
	}
	if p.next = uint64(to); to == len(s.Keys) {
		p.next = 0
	}
	return p, s.trip("scan")
}

func (s *Space) ask(_ context.Context, _ string, qs []question) (answers, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := answers{took: s.Took, expiry: s.refused, memory: s.refused}
	s.Asked += len(qs)
	for _, q := range qs {
		x := answer{ttl: ttlUnasked, bytes: -1}
		if s.refused == nil && q.expiry {
			x.ttl = ttlNone
			if ttl, ok := s.TTL[q.key]; ok {
				x.ttl = ttl
			}
		}
		if s.refused == nil && q.memory {
			x.bytes = s.Bytes
		}
		a.of = append(a.of, x)
	}
	return a, s.trip("ask")
}

// WalkerOf is a walker over a space in memory.
func WalkerOf(s *Space, interval time.Duration, sets ...KeySet) *Walker {
	w := NewWalker(WalkOptions{Sets: sets, Interval: interval, Logger: slog.New(slog.DiscardHandler)})
	w.space = s
	return w
}

// ErrStale is what a trip on another connection ends with.
var ErrStale = errStale

// Refusal is an error reply of the server, as a trip gives it.
func Refusal() error { return &Error{Reason: reason.Permission, Detail: "refuses"} }

// ErrBroken is a connection that ended.
var ErrBroken error = &Error{Reason: reason.Failed, Detail: "hung up"}

// CountPage returns a function that counts one page of keys, without a server.
func CountPage(keys []string, sets ...KeySet) func() error {
	s := &Space{Bytes: 100}
	w := WalkerOf(s, time.Second, sets...)
	g := &steps{track: w.tracks[0], counts: make([]count, len(w.tracks[0].sets)), probed: true}
	return func() error {
		counts, _, err := w.count(context.Background(), g, "", keys)
		g.counts = counts
		return err
	}
}
