package ledger_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// phase is a part of what a simulated thread does over and over.
type phase struct {
	on   ledger.On // CPU, CPUQueue, or a wait
	long time.Duration
}

// simulated is a thread whose totals are computed as the kernel does: the time in
// the queue is added when the thread is put on a processor.
type simulated struct {
	phases     []phase
	at         int           // the phase under way
	left       time.Duration // of it
	run, delay time.Duration
	queued     time.Duration // not added yet
	truth      ledger.Seconds
}

func (s *simulated) advance(dt time.Duration) {
	for dt > 0 {
		if s.left == 0 {
			s.at = (s.at + 1) % len(s.phases)
			s.left = s.phases[s.at].long
			if s.phases[s.at].on != ledger.CPUQueue {
				s.delay += s.queued
				s.queued = 0
			}
		}
		step := min(dt, s.left)
		on := s.phases[s.at].on
		s.truth[on] += step.Seconds()
		switch on { //nolint:exhaustive // the others are waits
		case ledger.CPU:
			s.run += step
		case ledger.CPUQueue:
			s.queued += step
		}
		s.left -= step
		dt -= step
	}
}

// For any sequence of states, a thread's seconds differ from the truth by at most three
// points of the whole time: the chance of 6,000 samples.
func TestLedger(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for name, phases := range map[string][]phase{
		"asleep":                        {{ledger.Idle, time.Hour}},
		"spins":                         {{ledger.CPU, time.Hour}},
		"half of each":                  {{ledger.CPU, 50 * ms}, {ledger.Sleep, 50 * ms}, {ledger.Idle, 100 * ms}},
		"short waits between computing": {{ledger.CPU, 2 * ms}, {ledger.Redis, 2 * ms}},
		"queued before each run":        {{ledger.CPUQueue, 30 * ms}, {ledger.CPU, 10 * ms}, {ledger.MySQL, 40 * ms}, {ledger.CPUQueue, 20 * ms}, {ledger.CPU, 5 * ms}, {ledger.Idle, 35 * ms}},
		"starved":                       {{ledger.CPUQueue, 2 * time.Second}, {ledger.CPU, 100 * ms}, {ledger.Lock, 400 * ms}},
		"long waits":                    {{ledger.Upstream, 3 * time.Second}, {ledger.CPU, 30 * ms}, {ledger.Idle, 5 * time.Second}},
		"slower than the samples":       {{ledger.CPU, 7 * ms}, {ledger.Disk, 13 * ms}, {ledger.Child, 17 * ms}, {ledger.Idle, 31 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			s := &simulated{phases: phases, at: -1}
			var l ledger.Ledger
			var got ledger.Seconds
			l.Sample(0, 0, 0, true)
			total := 0.0
			for total < 20_000 { // so long that drift between samples and phases evens out
				dt := time.Duration((0.09 + 0.02*r.Float64()) * 1e9)
				s.advance(dt)
				total += dt.Seconds()
				on := s.phases[s.at].on
				waits := on != ledger.CPU && on != ledger.CPUQueue
				x := l.Sample(dt, s.run, s.delay, waits)
				got[ledger.CPU] += x.Run
				got[ledger.CPUQueue] += x.Delay
				if waits {
					got[on] += x.Wait
				} else if x.Wait != 0 {
					t.Fatalf("a running thread waited %g s", x.Wait)
				}
			}
			for _, on := range ledger.All() {
				if d := math.Abs(got[on]-s.truth[on]) / total; d > 0.03 {
					t.Errorf("%s: %.2f s, truth %.2f s of %.0f", on, got[on], s.truth[on], total)
				}
			}
		})
	}
}

// Totals belong to the slot, whichever process is in it, and views are bounded.
func TestTotals(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var all ledger.Totals
	all.Slot("shop", 1, now).Seconds[ledger.MySQL] += 3
	all.Slot("shop", 1, now).Seconds[ledger.MySQL] += 4 // of the next process in the slot
	all.Slot("shop", 0, now).Seconds[ledger.Idle] = 5
	for i := range ledger.MaxViews + 20 {
		all.View("shop", fmt.Sprintf("v%03d", i), now).Seconds[ledger.CPU]++
	}
	got := all.Copy(now)
	if len(got) != 1 || len(got[0].Slots) != 2 || got[0].Slots[1].Seconds[ledger.MySQL] != 7 || got[0].Slots[0].Seconds[ledger.Idle] != 5 {
		t.Fatalf("%+v", got)
	}
	views := got[0].Views
	if len(views) != ledger.MaxViews+1 || views[0].Name != ledger.OtherView || views[0].Seconds[ledger.CPU] != 20 {
		t.Errorf("%d views, the first %+v", len(views), views[0])
	}
	if n := all.DroppedViews(); n != 20 {
		t.Errorf("%d views dropped, want 20", n)
	}
	all.Tick(now.Add(59 * time.Minute))
	if len(all.Copy(now)) != 1 {
		t.Error("forgotten after less than an hour")
	}
	all.Slot("shop", 0, now.Add(59*time.Minute))
	all.Tick(now.Add(2 * time.Hour))
	if len(all.Copy(now)) != 0 {
		t.Error("not forgotten after an hour")
	}
}

// Utilization is that of the last minute.
func TestUtilization(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var all ledger.Totals
	for second := range 200 {
		s := all.Slot("shop", 0, now)
		on := ledger.Redis
		if second < 100 {
			on = ledger.Idle
		}
		if second < 4 && all.Copy(now)[0].Utilization != nil {
			t.Fatal("known after 4 s")
		}
		s.Seconds[on]++
		s.Seconds[ledger.Idle]++ // of the other thread
		now = now.Add(time.Second)
		all.Tick(now)
		u := all.Copy(now)[0].Utilization
		switch {
		case second == 90 && (u == nil || *u != 0), second == 199 && (u == nil || math.Abs(*u-0.5) > 0.01):
			t.Errorf("second %d: %v", second, u)
		}
	}
}

// Each On has a name, and the name is its own.
func TestNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, on := range ledger.All() {
		if on.String() == "" || seen[on.String()] || ledger.Parse(on.String()) != on {
			t.Errorf("%d is %q", on, on)
		}
		seen[on.String()] = true
	}
	if ledger.Parse("rubbish") != ledger.Other || ledger.On(200).String() != "unknown" {
		t.Error("what has no name")
	}
}

func BenchmarkLedger(b *testing.B) {
	var l ledger.Ledger
	b.ReportAllocs()
	run := time.Duration(0)
	for b.Loop() {
		run += time.Millisecond
		l.Sample(100*time.Millisecond, run, 0, true)
	}
}
