package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	// A walk that met a fault waits firstRetry, and longer with each that follows.
	firstRetry = 200 * time.Millisecond
	maxRetry   = 10 * time.Second
	// slowAfter is how long a server must be slow until that is told.
	slowAfter = 30 * time.Second
	// Between two pings of a slow server, from firstPause to maxPause.
	firstPause = 50 * time.Millisecond
	maxPause   = 5 * time.Second
	// pingPause is between the pings that find out what is quiet.
	pingPause = 20 * time.Millisecond
	// maxAsked is how many keys are asked after in one trip. SCAN may give more
	// than it was asked for.
	maxAsked = 2 * largestPage
)

// errAway says that no key of a page was where SCAN had found it.
var errAway = errors.New("the keys are another node's")

// steps is one walk under way.
type steps struct {
	*track

	at             int    // which node
	cursor         uint64 // where on it
	examined, keys float64
	counts         []count

	probed         bool   // whether one key was asked after
	expiry, memory *Error // why that is not asked any more
	info           *Error // why a node does not say which process it is and how many keys it has
}

// over is whether every node was walked.
func (s *steps) over() bool { return s.at == len(s.nodes) }

// walk goes over all keys once. After a fault it goes on where it was: a cursor
// is good for as long as the server's process lives. With another process it
// begins anew.
func (w *Walker) walk(ctx context.Context, t *track) {
	var s *steps
	for faults := 0; ctx.Err() == nil; {
		var pages int
		var err error
		s, pages, err = w.follow(ctx, t, s)
		if err == nil || ctx.Err() != nil {
			return
		}
		if pages > 0 {
			faults = 0
		}
		var fault *Error
		switch {
		case errors.Is(err, errAway):
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

// follow goes on with s until its end or a fault, and gives how many pages that
// were, and the walk to go on with.
func (w *Walker) follow(ctx context.Context, t *track, s *steps) (next *steps, pages int, err error) {
	next, err = w.resume(ctx, t, s)
	if err != nil {
		return s, 0, err
	}
	for ctx.Err() == nil && !next.over() {
		if err = w.step(ctx, next); err != nil {
			break
		}
		pages++
	}
	return next, pages, err
}

// resume lists the nodes, and gives the walk to go on with: s, or a new one if
// there is none or it was on other processes.
func (w *Walker) resume(ctx context.Context, t *track, s *steps) (*steps, error) {
	began := time.Now()
	nodes, err := w.space.nodes(ctx)
	took := time.Since(began)
	if err == nil && len(nodes) == 0 {
		err = &Error{Reason: reason.NotFound, Detail: "has no master"}
	}
	if err != nil {
		return nil, err
	}
	defer retry.Sleep(ctx, rest(min(took, dear)))
	w.mu.Lock()
	defer w.mu.Unlock()
	same := slices.EqualFunc(nodes, t.nodes, func(a, b node) bool { return a.addr == b.addr && a.id == b.id })
	if same && s != nil {
		return s, nil
	}
	if !same {
		t.tallies = nil // of keys that may all be gone
		for addr := range w.pace {
			delete(w.pace, addr)
		}
	}
	t.nodes, t.coverage = nodes, 0
	s = &steps{track: t, counts: make([]count, len(t.sets))}
	for _, n := range nodes {
		s.keys += n.keys
		if n.lack != nil {
			s.info = n.lack
		}
		if w.pace[n.addr] == nil {
			w.pace[n.addr] = newPace()
		}
	}
	return s, nil
}

// step takes one page, makes known what was counted if it was the last, and rests.
func (w *Walker) step(ctx context.Context, s *steps) error {
	addr := s.nodes[s.at].addr
	p := w.pace[addr]
	if err := w.awaitQuiet(ctx, p, addr); err != nil || ctx.Err() != nil {
		return err
	}
	got, err := w.space.scan(ctx, addr, s.cursor, s.match, p.page)
	if err != nil {
		return err
	}
	counts, asked, err := w.count(ctx, s, addr, got.keys)
	if err != nil {
		return err
	}
	cost := p.charge(got.took+asked.took, 1+asked.trips, max(p.page, len(got.keys))+asked.keys)
	w.advance(s, counts, got, p.page)
	if s.over() {
		w.finish(s)
	}
	retry.Sleep(ctx, rest(cost))
	return nil
}

// awaitQuiet pings until the server is as fast as it is when it is quiet.
func (w *Walker) awaitQuiet(ctx context.Context, p *pace, addr string) error {
	began, wait := time.Now(), firstPause
	for ctx.Err() == nil {
		took, err := w.space.ping(ctx, addr)
		if err != nil {
			return err
		}
		slow := p.ping(took)
		switch {
		case !p.known():
			retry.Sleep(ctx, pingPause)
			continue
		case !slow:
			w.waits(nil)
			return nil
		case time.Since(began) >= slowAfter:
			w.waits(&Error{Reason: reason.Busy, Detail: "answers slower than it can, so that the walk over its keys waits"})
		}
		retry.Sleep(ctx, wait)
		wait = min(2*wait, maxPause)
	}
	return nil
}

func (w *Walker) waits(e *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = e
}

// effort is what was asked after the keys of one page.
type effort struct {
	took        time.Duration
	trips, keys int
}

// count returns the counts with one page more; s keeps its own until the page is whole.
func (w *Walker) count(ctx context.Context, s *steps, addr string, keys []string) ([]count, effort, error) {
	counts := slices.Clone(s.counts)
	var e effort
	there := 0
	for len(keys) > 0 {
		n := min(len(keys), maxAsked)
		if !s.probed { // a server logs each key that it refuses
			n = 1
		}
		qs := s.questions(counts, keys[:n])
		keys = keys[n:]
		a, err := w.ask(ctx, s, addr, qs)
		if err != nil {
			return nil, e, err
		}
		if a.took > 0 {
			e.took, e.trips, e.keys = e.took+a.took, e.trips+1, e.keys+len(qs)
		}
		there += s.take(counts, qs, a)
	}
	if e.keys > 0 && there == 0 {
		return nil, e, errAway
	}
	return counts, e, nil
}

// ask asks after some keys, unless there is nothing that the server would tell.
func (w *Walker) ask(ctx context.Context, s *steps, addr string, qs []question) (answers, error) {
	a := answers{of: make([]answer, len(qs))}
	if len(qs) == 0 || s.expiry != nil && s.memory != nil {
		return a, nil
	}
	a, err := w.space.ask(ctx, addr, qs)
	if err == nil {
		s.learn(a)
	}
	return a, err
}

// take counts some keys, and gives how many of them were where SCAN had found them.
func (s *steps) take(counts []count, qs []question, a answers) (there int) {
	for i, q := range qs {
		if a.of[i].ttl != ttlMoved {
			there++
		}
		s.each(q.key, func(set int) {
			counts[set].seen++
			counts[set].take(a.of[i], s.sets[set].Lifetime)
		})
	}
	return there
}

// questions says what to ask after those keys that are of a set. The server
// matched them, but it is not believed.
func (s *steps) questions(counts []count, keys []string) []question {
	qs := make([]question, 0, len(keys))
	for n, key := range keys {
		q := question{key: key, expiry: s.expiry == nil}
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

// each calls f for each set that a key is of.
func (s *steps) each(key string, f func(set int)) {
	for i := range s.sets {
		if strings.HasPrefix(key, s.sets[i].Prefix) {
			f(i)
		}
	}
}

// learn notes what the server refuses, so that it is asked once a walk.
func (s *steps) learn(a answers) {
	s.probed = true
	if a.expiry != nil {
		s.expiry = a.expiry
	}
	if a.memory != nil {
		s.memory = a.memory
	}
}

// lack is why the walk does not tell all.
func (s *steps) lack() *Error {
	for _, e := range []*Error{s.expiry, s.memory} {
		if e != nil {
			return e
		}
	}
	return s.info
}

// advance takes over what a page gave.
func (w *Walker) advance(s *steps, counts []count, got page, asked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = nil
	if e := s.lack(); e != nil {
		s.lacks = e
	}
	s.counts, s.cursor = counts, got.next
	s.examined += float64(asked)
	if s.keys > 0 {
		s.coverage = min(s.examined/s.keys, 0.99) // it is all only when the server says so
	}
	if got.next == 0 {
		s.at++
	}
}

// finish makes what the walk counted known.
func (w *Walker) finish(s *steps) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.tallies = make([]Tally, len(s.sets))
	for i := range s.counts {
		s.tallies[i] = s.counts[i].tally(s.sets[i].Lifetime, s.expiry == nil, s.memory == nil)
	}
	s.coverage, s.since, s.lacks = 1, time.Now(), s.lack()
}
