package sampling

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
	"github.com/resp-exporter/resp-exporter/internal/waits/sockets"
)

// viewThread is a thread whose samples with stacks a test makes up.
type viewThread struct {
	*thread
	now time.Time
}

func newViewThread() *viewThread {
	v := &viewThread{thread: newThread(1), now: time.Unix(1000, 0)}
	v.call = procfs.Syscall{NR: unix.SYS_READ}
	v.sampleIdle() // the first one has nothing to divide
	return v
}

// pass advances the time by 100 ms, during a part of which the thread runs.
func (v *viewThread) pass(run time.Duration) {
	v.now = v.now.Add(100 * time.Millisecond)
	v.times.Run += run
	v.times.Slices++
}

// sampleIdle is a sample with stacks without a request.
func (v *viewThread) sampleIdle() {
	v.view, v.stack.known = nil, false
	v.accountView(ledger.Idle, ledger.CPU, v.now)
}

// sampleFailed is one whose look at the stack has failed.
func (v *viewThread) sampleFailed(on ledger.On) {
	v.accountView(on, ledger.CPU, v.now)
}

// keepView is a look from the reserve, in a sample without stacks.
func (v *viewThread) keepView(view *ledger.View, started time.Time) {
	v.view = view
	v.stack = stackInfo{known: true, at: v.now, slices: v.times.Slices, looked: true, inHand: true, view: view.Name, started: started}
}

// sampleView is one whose look has shown a request in that view; a zero start is not
// known.
func (v *viewThread) sampleView(view *ledger.View, started time.Time, on ledger.On) {
	v.keepView(view, started)
	v.accountView(on, ledger.CPU, v.now)
}

const msec = time.Millisecond

// expectSeconds compares the seconds of a view, as far as they are not 0.
func expectSeconds(t *testing.T, what string, view *ledger.View, want map[ledger.On]float64) {
	t.Helper()
	for _, on := range ledger.All() {
		if got := view.Seconds[on]; math.Abs(got-want[on]) > 0.012 { // the ledger settles a part of its balance
			t.Errorf("%s: %s for %.3f s in %s, want %.3f", what, on, got, view.Name, want[on])
		}
	}
}

// The time of a sample whose look failed belongs to the view of a later look if that
// proves the same request, else to none.
func TestHeldTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		started time.Duration // of the request that is seen at last, after the failed look; -1 h: not known
		run     time.Duration // after the failed look
		idle    bool          // in between
		want    bool
	}{
		"began before":            {-50 * msec, 90 * msec, false, true},
		"began later":             {20 * msec, 0, false, false},
		"not known, has not run":  {-time.Hour, 0, false, true},
		"not known, has polled":   {-time.Hour, viewtime.PollRun, false, true},
		"not known, has run":      {-time.Hour, viewtime.PollRun + msec, false, false},
		"not known, idle between": {-time.Hour, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, pay := newViewThread(), &ledger.View{Name: "pay"}
			v.pass(0)
			v.sampleFailed(ledger.Lock)
			failed := v.now
			if got := pay.Seconds.Sum(); got != 0 {
				t.Fatalf("%.3f s before a stack was seen", got)
			}
			if c.idle {
				v.pass(0)
				v.sampleIdle()
			}
			v.pass(c.run)
			started := failed.Add(c.started)
			if c.started == -time.Hour {
				started = time.Time{}
			}
			v.sampleView(pay, started, ledger.Redis)
			want := map[ledger.On]float64{ledger.Redis: 0.1, ledger.CPU: c.run.Seconds()}
			if c.want {
				want[ledger.Lock] = 0.1
			}
			expectSeconds(t, name, pay, want)
			v.pass(0)
			v.sampleIdle()
			expectSeconds(t, name+", then idle", pay, want)
		})
	}
}

// The time of a request that ends before its stack was read is attributed to no view,
// also not to the next one's.
func TestHeldTimeOfAnEndedRequest(t *testing.T) {
	t.Parallel()
	v, pay := newViewThread(), &ledger.View{Name: "pay"}
	for range 5 {
		v.pass(30 * msec)
		v.sampleFailed(ledger.MySQL)
	}
	v.pass(30 * msec)
	v.sampleView(pay, v.now.Add(-40*msec), ledger.Redis)
	expectSeconds(t, "the next request", pay, map[ledger.On]float64{ledger.Redis: 0.1, ledger.CPU: 0.03})
}

// Sockets without a name keep what is held until they have one.
func TestHeldSockets(t *testing.T) {
	t.Parallel()
	v, pay := newViewThread(), &ledger.View{Name: "pay"}
	var names sockets.Names
	a, b, c := names.Name(0, "shop", 1, v.now), names.Name(0, "shop", 2, v.now), names.Name(0, "shop", 3, v.now)
	began := v.now
	for _, n := range []*sockets.Socket{a, b, c} {
		v.state.socket = n
		v.pass(0)
		v.sampleFailed(ledger.Other)
	}
	v.state.socket = nil
	v.pass(0)
	v.sampleView(pay, began, ledger.Sleep)
	names.Set(a, "mysql", "10.0.0.9:3306 (mysql)", v.now)
	names.Set(b, "redis", "10.0.0.9:6379 (redis)", v.now)
	names.Set(c, "redis", "10.0.0.9:6379 (redis)", v.now)
	expectSeconds(t, "three sockets", pay, map[ledger.On]float64{ledger.Sleep: 0.1, ledger.MySQL: 0.1, ledger.Redis: 0.1, ledger.Other: 0.1})
}

// Time on a processor belongs to the views at both ends of the time between two
// samples, or to the only one of both.
func TestRunOfViews(t *testing.T) {
	t.Parallel()
	v, pay, list := newViewThread(), &ledger.View{Name: "pay"}, &ledger.View{Name: "list"}
	v.pass(30 * msec)
	v.sampleView(pay, v.now, ledger.Sleep)
	v.pass(10 * msec)
	v.sampleView(list, v.now, ledger.Sleep)
	v.pass(20 * msec)
	v.sampleIdle()
	v.pass(50 * msec)
	v.sampleIdle() // a request between two samples
	if got, want := pay.Seconds[ledger.CPU], 0.035; math.Abs(got-want) > 1e-9 {
		t.Errorf("%.3f s in pay, want %.3f", got, want)
	}
	if got, want := list.Seconds[ledger.CPU], 0.025; math.Abs(got-want) > 1e-9 {
		t.Errorf("%.3f s in list, want %.3f", got, want)
	}
}

// Requests that take less than the time between two samples, of which most get no
// sample or one, give each view what it took: whether stacks are read in each sample
// or in few, where one look in ten fails, and where others are read from the reserve.
func TestShortRequestsOfViews(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for name, c := range map[string]struct{ looks, fails, kept float64 }{
		"each sample": {1, 0, 0}, "one sample in four": {0.25, 0, 0}, "failures": {0.5, 0.1, 0}, "and a reserve": {0.25, 0, 0.7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			views := []*ledger.View{{Name: "pay"}, {Name: "list"}, {Name: "report"}}
			longest := []time.Duration{20 * msec, 40 * msec, 60 * msec}
			v, truth, total := newViewThread(), make([]float64, len(views)), 0.0
			next := v.now
			for range 400_000 {
				i := r.IntN(len(views))
				idle, run := time.Duration(r.Int64N(int64(40*msec))), time.Duration(r.Int64N(int64(3*msec)))
				wait := 17*msec + time.Duration(r.Int64N(int64(longest[i]-16*msec)))
				began := v.now
				step := func(long time.Duration, runs bool, sample, kept func()) {
					for long > 0 {
						d := min(long, max(0, next.Sub(v.now)))
						v.now, long = v.now.Add(d), long-d
						if runs {
							v.times.Run += d
						}
						if long > 0 {
							next = v.now.Add(time.Duration((45 + 10*r.Float64()) * float64(msec)))
							if r.Float64() < c.looks {
								sample()
							} else if r.Float64() < c.kept {
								kept()
							}
						}
					}
					v.times.Slices++
				}
				inRequest := func() {
					if r.Float64() < c.fails {
						v.sampleFailed(ledger.MySQL)
						return
					}
					v.sampleView(views[i], began.Add(idle), ledger.MySQL)
				}
				keep := func() { v.keepView(views[i], began.Add(idle)) }
				step(idle, false, v.sampleIdle, func() {})
				step(run, true, func() {
					v.call.Running = true
					inRequest()
					v.call.Running = false
				}, keep)
				step(wait, false, inRequest, keep)
				truth[i] += (run + wait).Seconds()
				total += (idle + run + wait).Seconds()
			}
			for i, view := range views {
				// What fails and is not proven is given to none.
				want := truth[i] * (1 - c.fails)
				if points := 100 * (view.Seconds.Sum() - want) / total; math.Abs(points) > 2 {
					t.Errorf("%s: %.1f s, truth %.1f s of %.0f: %+.1f points", view.Name, view.Seconds.Sum(), want, total, points)
				}
			}
		})
	}
}
