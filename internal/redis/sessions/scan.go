package sessions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	// A scan that met a fault waits firstRetry, and longer with each that follows.
	firstRetry = 200 * time.Millisecond
	maxRetry   = 10 * time.Second
	// slowAfter is how long a server must be slow until that is reported.
	slowAfter = 30 * time.Second
	// Between two pings of a slow server, from firstPause to maxPause.
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
	// pingPause is between the pings that find out what is quiet.
	pingPause = 20 * time.Millisecond
	// maxAsked is how many keys are queried in one round trip. SCAN may return more
	// keys than its COUNT.
	maxAsked = 2 * maxPageSize
)

// errKeysMoved is the error of a page of which no key is where SCAN had found
// it.
var errKeysMoved = errors.New("the keys are on another node")

// sessionScan is a scan in progress.
type sessionScan struct {
	*prefixGroup

	at             int    // which node
	cursor         uint64 // where on it
	examined, keys float64
	counts         []counter

	probed         bool         // whether one key was queried
	expiry, memory *redis.Error // why that is not asked any more
	info           *redis.Error // why a node does not say which process it is and how many keys it has
}

// done reports whether every node was scanned.
func (s *sessionScan) done() bool { return s.at == len(s.nodes) }

// scanGroup scans all keys for a group once. After an error it continues where it was,
// until ctx ends: a cursor is valid for as long as the server's process lives. With
// another process, or if the keys have moved, it starts over.
func (w *Scanner) scanGroup(ctx context.Context, t *prefixGroup) {
	var s *sessionScan
	for faults := 0; ctx.Err() == nil; {
		var pages int
		var err error
		s, pages, err = w.continueScan(ctx, t, s)
		if err == nil || ctx.Err() != nil {
			return
		}
		if pages > 0 {
			faults = 0
		}
		var fault *redis.Error
		switch {
		case errors.Is(err, errKeysMoved):
			s = nil
		case errors.As(err, &fault):
			// The first one may be no more than a connection that ended.
			if faults++; faults > 1 {
				w.failed(fault)
			}
		}
		retry.Sleep(ctx, retry.Backoff{First: firstRetry, Max: maxRetry}.Delay(faults+1))
	}
}

// failed records why the server cannot be scanned, for [Scanner.Status].
func (w *Scanner) failed(e *redis.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = e
}

// continueScan scans pages of s until its end, an error or the end of ctx; err is nil at both
// ends. It returns the scan to continue with, also with an error, which may be a new one,
// and how many pages it has scanned.
func (w *Scanner) continueScan(ctx context.Context, t *prefixGroup, s *sessionScan) (next *sessionScan, pages int, err error) {
	next, err = w.resume(ctx, t, s)
	if err != nil {
		return s, 0, err
	}
	for ctx.Err() == nil && !next.done() {
		if err = w.scanPage(ctx, next); err != nil {
			break
		}
		pages++
	}
	return next, pages, err
}

// resume lists the nodes, pauses, and returns the scan to continue: s, or a new one if s is
// nil or the servers have been restarted or replaced. An error, also that there is no master,
// comes without a scan.
func (w *Scanner) resume(ctx context.Context, t *prefixGroup, s *sessionScan) (*sessionScan, error) {
	began := time.Now()
	nodes, err := w.space.nodes(ctx)
	took := time.Since(began)
	if err == nil && len(nodes) == 0 {
		err = &redis.Error{Reason: reason.NotFound, Detail: "has no master"}
	}
	if err != nil {
		return nil, err
	}
	defer retry.Sleep(ctx, pauseAfter(min(took, slowPage)))
	w.mu.Lock()
	defer w.mu.Unlock()
	same := slices.EqualFunc(nodes, t.nodes, func(a, b node) bool { return a.addr == b.addr && a.id == b.id })
	if same && s != nil {
		return s, nil
	}
	if !same {
		t.results = nil // of keys that may all be gone
		for addr := range w.throttles {
			delete(w.throttles, addr)
		}
	}
	t.nodes, t.coverage = nodes, 0
	s = &sessionScan{prefixGroup: t, counts: make([]counter, len(t.sets))}
	for _, n := range nodes {
		s.keys += n.keys
		if n.lack != nil {
			s.info = n.lack
		}
		if w.throttles[n.addr] == nil {
			w.throttles[n.addr] = newThrottle()
		}
	}
	return s, nil
}

// scanPage scans one page, publishes the counts if it was the last one, and pauses. nil
// also if ctx ends before the page.
func (w *Scanner) scanPage(ctx context.Context, s *sessionScan) error {
	addr := s.nodes[s.at].addr
	p := w.throttles[addr]
	if err := w.awaitBaseline(ctx, p, addr); err != nil || ctx.Err() != nil {
		return err
	}
	got, err := w.space.scan(ctx, addr, s.cursor, s.match, p.page)
	if err != nil {
		return err
	}
	counts, asked, err := w.inspectPage(ctx, s, addr, got.keys)
	if err != nil {
		return err
	}
	cost := p.cost(got.took+asked.took, 1+asked.trips, max(p.page, len(got.keys))+asked.keys)
	w.applyPage(s, counts, got, p.page)
	if s.done() {
		w.publish(s)
	}
	retry.Sleep(ctx, pauseAfter(cost))
	return nil
}

// awaitBaseline sends PING until the round-trip time is near the server's baseline, or
// ctx ends, which is no error. If that lasts long, the status says that the scan is
// paused.
func (w *Scanner) awaitBaseline(ctx context.Context, p *throttle, addr string) error {
	began, wait := time.Now(), firstPause
	for ctx.Err() == nil {
		took, err := w.space.ping(ctx, addr)
		if err != nil {
			return err
		}
		slow := p.ping(took)
		switch {
		case !p.hasBaseline():
			retry.Sleep(ctx, pingPause)
			continue
		case !slow:
			w.setDelayed(nil)
			return nil
		case time.Since(began) >= slowAfter:
			w.setDelayed(&redis.Error{Reason: reason.Busy, Detail: "answers slowly, so the scan of its keys is paused"})
		}
		retry.Sleep(ctx, wait)
		wait = min(2*wait, maxPause)
	}
	return nil
}

// setDelayed stores why the scan is slow; nil: it is not.
func (w *Scanner) setDelayed(e *redis.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = e
}

// inspectCost is the cost of the reads about the keys of one page.
type inspectCost struct {
	took        time.Duration
	trips, keys int
}

// inspectPage returns the counts of the scan with one more page added, and what the page
// cost; s keeps its own until the page is complete. errKeysMoved: all of the keys that were
// asked about have moved to other nodes.
func (w *Scanner) inspectPage(ctx context.Context, s *sessionScan, addr string, keys []string) ([]counter, inspectCost, error) {
	counts := slices.Clone(s.counts)
	var e inspectCost
	there := 0
	for len(keys) > 0 {
		n := min(len(keys), maxAsked)
		if !s.probed { // a server logs each key that it refuses
			n = 1
		}
		qs := s.queries(counts, keys[:n])
		keys = keys[n:]
		a, err := w.ask(ctx, s, addr, qs)
		if err != nil {
			return nil, e, err
		}
		if a.took > 0 {
			e.took, e.trips, e.keys = e.took+a.took, e.trips+1, e.keys+len(qs)
		}
		there += s.record(counts, qs, a)
	}
	if e.keys > 0 && there == 0 {
		return nil, e, errKeysMoved
	}
	return counts, e, nil
}

// ask returns what the server says of some keys, in the order of qs, and records which
// queries it refuses. If it refuses all of them, nothing is sent and each answer is zero.
func (w *Scanner) ask(ctx context.Context, s *sessionScan, addr string, qs []keyQuery) (keyInfos, error) {
	a := keyInfos{of: make([]keyInfo, len(qs))}
	if len(qs) == 0 || s.expiry != nil && s.memory != nil {
		return a, nil
	}
	a, err := w.space.ask(ctx, addr, qs)
	if err == nil {
		s.noteRefusals(a)
	}
	return a, err
}

// record adds some keys to the counts, and returns how many of them were where SCAN had
// found them.
func (s *sessionScan) record(counts []counter, qs []keyQuery, a keyInfos) (there int) {
	for i, q := range qs {
		if a.of[i].ttl != ttlMoved {
			there++
		}
		s.each(q.key, func(set int) {
			counts[set].seen++
			counts[set].record(a.of[i], s.sets[set].Lifetime)
		})
	}
	return there
}

// queries returns what to read about those keys that belong to a set. The
// server matched them, but that is checked.
func (s *sessionScan) queries(counts []counter, keys []string) []keyQuery {
	qs := make([]keyQuery, 0, len(keys))
	for n, key := range keys {
		q := keyQuery{key: key, expiry: s.expiry == nil}
		of := 0
		s.each(key, func(set int) {
			of++
			c := counts[set]
			c.seen += n
			q.memory = q.memory || s.memory == nil && c.wants()
		})
		if of > 0 {
			qs = append(qs, q)
		}
	}
	return qs
}

// each calls f with the index of each set to which a key belongs.
func (s *sessionScan) each(key string, f func(set int)) {
	for i := range s.sets {
		if strings.HasPrefix(key, s.sets[i].Prefix) {
			f(i)
		}
	}
}

// noteRefusals records which queries the server refuses, so that they are sent once per
// scan.
func (s *sessionScan) noteRefusals(a keyInfos) {
	s.probed = true
	if a.expiry != nil {
		s.expiry = a.expiry
	}
	if a.memory != nil {
		s.memory = a.memory
	}
}

// refusal returns why the counts of the scan are incomplete, first of the expiry, then of
// the memory, then of the number of keys; nil if they are complete.
func (s *sessionScan) refusal() *redis.Error {
	for _, e := range []*redis.Error{s.expiry, s.memory} {
		if e != nil {
			return e
		}
	}
	return s.info
}

// applyPage replaces the counts of the scan by those with one more page, and moves its
// cursor. asked is how many keys the page had examined.
func (w *Scanner) applyPage(s *sessionScan, counts []counter, got page, asked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = nil
	if e := s.refusal(); e != nil {
		s.lacks = e
	}
	s.counts, s.cursor = counts, got.next
	s.examined += float64(asked)
	if s.keys > 0 {
		s.coverage = min(s.examined/s.keys, 0.99) // 1 only when the server reports the end
	}
	if got.next == 0 {
		s.at++
	}
}

// publish makes the counts of the scan visible to [Scanner.Status].
func (w *Scanner) publish(s *sessionScan) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.results = make([]Counts, len(s.sets))
	for i := range s.counts {
		s.results[i] = s.counts[i].tally(s.sets[i].Lifetime, s.expiry == nil, s.memory == nil)
	}
	s.coverage, s.since, s.lacks = 1, time.Now(), s.refusal()
}
