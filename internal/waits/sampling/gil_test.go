package sampling

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// A thread that gets the interpreter's lock for a moment now and then waits for it all
// the same, and the thread that has it is named with its line, though it takes no
// requests.
func TestHolderOfTheGIL(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, `import threading
print(1, flush=True)
def hold():
  while True:
    sum(range(40_000_000))
t = threading.Thread(target=hold, daemon=True)
t.start()
while t.is_alive():
  pass`)
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	t.Cleanup(s.closeAll)
	r := Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	var last []model.Thread
	until(t, "the holder", func() bool {
		last = s.Register(r)
		s.mu.Lock()
		s.savings = maxSavings
		s.mu.Unlock()
		s.sample()
		if len(last) != 2 || last[0].On != "gil" || last[0].Seconds < 1.5 || last[0].GIL {
			return false
		}
		h := last[1]
		return h.Helper && h.GIL && !h.Main && h.TID != pid && h.On == "cpu" && h.Stack != nil && h.Stack.Inner.Function == "hold" && h.Stack.Inner.Line == 5
	})
	if ended := last[0].Seconds > time.Minute.Seconds(); ended {
		t.Errorf("%+v", last[0])
	}
}

// What counts is the part of the time that a thread waits for the lock.
func TestPartOfTheTime(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		of   []ledger.On // a sample each 100 ms, over and over
		each int         // samples a request; 0: all are one
		last bool        // it waits at the end of 10 s
	}{
		"always":                     {[]ledger.On{ledger.GIL}, 0, true},
		"nine in ten":                {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL, ledger.CPU, ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL, ledger.GIL}, 0, true},
		"short waits for Redis":      {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.Redis}, 0, true},
		"one in five":                {[]ledger.On{ledger.CPU, ledger.CPU, ledger.CPU, ledger.GIL, ledger.CPU}, 0, false},
		"never":                      {[]ledger.On{ledger.CPU, ledger.MySQL}, 0, false},
		"short requests":             {[]ledger.On{ledger.GIL, ledger.GIL, ledger.GIL, ledger.Idle}, 0, false},
		"three in each request":      {[]ledger.On{ledger.GIL}, 3, false},
		"an event loop between them": {[]ledger.On{ledger.GIL, ledger.GIL, ledger.Loop}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			began := now
			var g gilWait
			request := func(i int) time.Time {
				if c.each == 0 {
					return began
				}
				return began.Add(time.Duration(i/c.each) * time.Second)
			}
			for i := range 100 {
				now = now.Add(100 * ms)
				g.add(c.of[i%len(c.of)], request(i), 100*ms, now)
			}
			if g.waits != c.last || c.last && now.Sub(g.first) < now.Sub(began)-200*ms {
				t.Errorf("%+v at %s", g, now.Sub(began))
			}
			for range 30 { // then it computes
				now = now.Add(100 * ms)
				g.add(ledger.CPU, request(99), 100*ms, now)
			}
			if g != (gilWait{started: g.started}) {
				t.Errorf("it is not over: %+v", g)
			}
		})
	}
}

// The holder is the one that has the lock for most of the time; threads that share it
// evenly hold it in turn, and none is named.
func TestOneHolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		of   []int
		want int // 0: none
	}{
		"one":        {[]int{7}, 7},
		"mostly one": {[]int{7, 7, 7, 7, 9}, 7},
		"not seen":   {[]int{0}, 0},
		"four":       {[]int{7, 8, 9, 10}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1000, 0)
			var h gilHolder
			for i := range 100 {
				now = now.Add(100 * time.Millisecond)
				h.add(c.of[i%len(c.of)], 100*time.Millisecond, now)
			}
			if h.known() != (c.want != 0) || c.want != 0 && h.tid != c.want {
				t.Errorf("%+v", h)
			}
			for range 20 {
				now = now.Add(100 * time.Millisecond)
				h.add(11, 100*time.Millisecond, now)
			}
			if !h.known() || h.tid != 11 || now.Sub(h.since) > 2*time.Second {
				t.Errorf("the new holder: %+v", h)
			}
		})
	}
}
