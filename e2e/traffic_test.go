package e2e_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// visit is one request of the load and what became of it.
type visit struct {
	began  time.Time
	took   time.Duration
	path   string
	status int // 0: no answer
}

// traffic is a load on an app, with the time that each request took.
type traffic struct {
	mu     sync.Mutex
	visits []visit
	end    func()
}

// inFlight bounds the customers at a time; what would be more is left out.
const inFlight = 40

// traffic requests these paths in turn from the app, until end is called or the test ends.
func (a *app) traffic(t *testing.T, perSecond int, paths ...string) *traffic {
	t.Helper()
	l := &traffic{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	l.end = sync.OnceFunc(func() { close(stop); wg.Wait() })
	t.Cleanup(l.end)
	room := make(chan struct{}, inFlight)
	wg.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			select {
			case room <- struct{}{}:
			default:
				continue
			}
			wg.Go(func() {
				defer func() { <-room }()
				v := visit{began: time.Now(), path: paths[i%len(paths)]}
				v.status = a.get(v.path)
				v.took = time.Since(v.began)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.visits = append(l.visits, v)
			})
		}
	})
	return l
}

// latency is how some of the requests were answered.
type latency struct {
	n, bad      int // bad: not with 200
	median, p95 time.Duration
	worst       visit // of the bad ones, the first
}

// between returns the requests that began in a period and have ended.
func (l *traffic) between(from, to time.Time) (out latency) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for _, v := range l.visits {
		if v.began.Before(from) || v.began.After(to) {
			continue
		}
		took = append(took, v.took)
		if v.status != http.StatusOK {
			if out.bad == 0 {
				out.worst = v
			}
			out.bad++
		}
	}
	if out.n = len(took); out.n > 0 {
		slices.Sort(took)
		out.median, out.p95 = took[out.n/2], took[out.n*95/100]
	}
	return out
}

// quiet measures the app while nothing is wrong: the yardstick of the same run.
func (l *traffic) quiet(t *testing.T) latency {
	t.Helper()
	from := time.Now()
	var q latency
	eventually(t, 60*time.Second, func() error {
		q = l.between(from, time.Now())
		return wants("enough requests", q.n >= 60, true)
	})
	if q.bad > 0 {
		t.Fatalf("%d of %d requests failed while nothing was wrong, first %+v", q.bad, q.n, q.worst)
	}
	return q
}

// Limits relative to the idle app: how much longer requests may take. Other tests share
// the machine, so both have room; a request that waits for a fault to end takes much
// longer. Below the floors a ratio has no meaning.
const (
	medianRatio, p95Ratio = 5, 10
	medianFloor, p95Floor = 20 * time.Millisecond, 100 * time.Millisecond
)

// likeQuiet fails the test if requests took much longer than those of the quiet app.
func (now latency) likeQuiet(t *testing.T, what string, quiet latency) {
	t.Helper()
	median := float64(now.median) / float64(max(quiet.median, medianFloor))
	p95 := float64(now.p95) / float64(max(quiet.p95, p95Floor))
	t.Logf("%s: %d requests, median %s (quiet %s), p95 %s (quiet %s)", what, now.n,
		now.median.Round(time.Millisecond), quiet.median.Round(time.Millisecond), now.p95.Round(time.Millisecond), quiet.p95.Round(time.Millisecond))
	if now.n < 20 {
		t.Errorf("%s: only %d requests", what, now.n)
	}
	if median > medianRatio || p95 > p95Ratio {
		t.Errorf("%s: the median is %.1f times that of the quiet app, at most %d is allowed; p95 %.1f, %d", what, median, medianRatio, p95, p95Ratio)
	}
}
