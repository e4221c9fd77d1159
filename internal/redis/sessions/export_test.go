package sessions

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// The unexported functions that are tested directly.
var (
	ParseKeyspace    = parseKeyspace
	GroupByFirstByte = groupByFirstByte
	Common           = commonPrefix
)

// Throttle limits the speed of a scan.
type Throttle struct{ p *throttle }

// NewThrottle returns a throttle without measurements.
func NewThrottle() Throttle { return Throttle{newThrottle()} }

// Ping adds the duration of a ping.
func (p Throttle) Ping(took time.Duration) bool { return p.p.ping(took) }

// Charge adds the duration of one page.
func (p Throttle) Charge(took time.Duration, trips, keys int) time.Duration {
	return p.p.cost(took, trips, keys)
}

// Page returns the number of keys of the next page.
func (p Throttle) Page() int { return p.p.page }

// Rest returns the pause after that cost.
func Rest(cost time.Duration) time.Duration { return pauseAfter(cost) }

// Space is a keyspace in memory. Each trip takes the time of Took.
type Space struct {
	Keys  []string         // in the order of the scan
	TTL   map[string]int64 // seconds; not there: no expiry; -2: gone, -4: moved
	Bytes int64            // of each
	ID    string           // of the process
	Nodes int              // of the cluster; each has all keys
	Took  time.Duration

	Fail  func(trip string) error // asked before each trip
	Trips map[string]int
	Asked int // keys queried
	Spent time.Duration

	mu      sync.Mutex // guards all above while a scanner runs
	refused *redis.Error
}

// Do calls f while nothing reads or changes the space.
func (s *Space) Do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Refuse makes the space refuse to return expiries and sizes.
func (s *Space) Refuse(e *redis.Error) { s.Do(func() { s.refused = e }) }

// trip is called with the lock held, and sleeps without it: a goroutine that waits for a
// lock stops the clock of synctest.
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

func (s *Space) ask(_ context.Context, _ string, qs []keyQuery) (keyInfos, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := keyInfos{took: s.Took, expiry: s.refused, memory: s.refused}
	s.Asked += len(qs)
	for _, q := range qs {
		x := keyInfo{ttl: ttlUnasked, bytes: -1}
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

// ScannerOf is a scanner over a space in memory.
func ScannerOf(s *Space, interval time.Duration, sets ...KeySet) *Scanner {
	w := NewScanner(ScannerOptions{Sets: sets, Interval: interval, Logger: slog.New(slog.DiscardHandler)})
	w.space = s
	return w
}

// KeyRefusal returns an error reply of the server, as from a trip.
func KeyRefusal() error { return &redis.Error{Reason: reason.Permission, Detail: "refuses"} }

// ErrBroken is the error of a connection that ended.
var ErrBroken error = &redis.Error{Reason: reason.Failed, Detail: "hung up"}

// CountPage returns a function that counts one page of keys, without a server.
func CountPage(keys []string, sets ...KeySet) func() error {
	s := &Space{Bytes: 100}
	w := ScannerOf(s, time.Second, sets...)
	g := &sessionScan{prefixGroup: w.groups[0], counts: make([]counter, len(w.groups[0].sets)), probed: true}
	return func() error {
		counts, _, err := w.inspectPage(context.Background(), g, "", keys)
		g.counts = counts
		return err
	}
}

// EternalNode returns the values of an INFO reply for a database: the number of keys, and
// whether the server has EXPIRE NX.
func EternalNode(reply string, db int) (keys float64, nx bool, err error) {
	n, err := parseScannedNode(reply, db)
	return n.keys, n.nx, err
}
