package share

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/reserve"
)

const fastest = 100 * time.Millisecond

// trial samples users with these costs, of reading all workers and of a look at all
// stacks that are due, for a while.
type trial struct {
	reads, looks []time.Duration

	s             Shares
	passed, used  time.Duration
	samples, seen []int // by user
}

func (x *trial) run(d time.Duration) {
	now := time.Unix(1000, 0)
	x.samples, x.seen = make([]int, len(x.reads)), make([]int, len(x.reads))
	for i := range x.reads {
		x.s.Of(procfs.Account(1000 + i))
	}
	period := x.s.SetPeriods(fastest)
	x.s.End(now.Add(-time.Second), 0)
	x.s.End(now, 0)
	for x.passed < d {
		now, x.passed = now.Add(period), x.passed+period
		x.s.Begin(now, true)
		for i := range x.reads {
			u := x.s.Of(procfs.Account(1000 + i))
			if u.Due {
				x.samples[i]++
				u.Read(x.reads[i])
				x.used += x.reads[i]
			}
			if !u.Looks {
				continue
			}
			x.seen[i]++
			cost := min(x.looks[i], u.Savings+MaxSavings)
			u.Looked(cost)
			x.used += cost
		}
		x.s.End(now, 0)
		period = x.s.SetPeriods(fastest)
	}
}

// A user whose samples are cheap keeps its rate and its stacks beside users whose
// samples cost more than there is, and all together use a hundredth of a core.
func TestShares(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		reads, looks  []time.Duration
		least, atMost []int // samples in ten minutes, of 6,000
		stacks        []int // samples with stacks at least
	}{
		"alone and cheap":       {[]time.Duration{ms / 10}, []time.Duration{ms / 10}, []int{5990}, []int{6010}, []int{5900}},
		"alone and dear":        {[]time.Duration{10 * ms}, []time.Duration{0}, []int{350}, []int{370}, []int{350}},
		"too dear":              {[]time.Duration{80 * ms}, []time.Duration{ms}, []int{55}, []int{65}, []int{0}},
		"cheap beside dear":     {[]time.Duration{ms / 20, 10 * ms}, []time.Duration{ms / 20, time.Second}, []int{5990, 200}, []int{6010, 370}, []int{5900, 20}},
		"stacks beside dear":    {[]time.Duration{ms / 20, ms / 10}, []time.Duration{ms / 4, time.Second}, []int{5990, 5990}, []int{6010, 6010}, []int{5900, 100}},
		"two alike":             {[]time.Duration{10 * ms, 10 * ms}, []time.Duration{ms, ms}, []int{170, 170}, []int{190, 190}, []int{170, 170}},
		"cheap beside nineteen": {append([]time.Duration{ms / 100}, many(19, 50*ms)...), append([]time.Duration{ms / 100}, many(19, time.Second)...), []int{5990}, []int{6010}, []int{5900}},
	} {
		x := trial{reads: c.reads, looks: c.looks}
		x.run(10 * time.Minute)
		for i := range c.least {
			if x.samples[i] < c.least[i] || x.samples[i] > c.atMost[i] || x.seen[i] < c.stacks[i] {
				t.Errorf("%s: user %d has %d samples, %d with stacks", name, i, x.samples[i], x.seen[i])
			}
		}
		if name != "cheap beside nineteen" && x.used > x.passed/Core+100*MaxSavings {
			t.Errorf("%s: %s of %s are used", name, x.used, x.passed)
		}
	}
}

// One sample that costs much more than the others does not slow down sampling, many do.
func TestOutliers(t *testing.T) {
	t.Parallel()
	var s Shares
	u := s.Of(1000)
	now, period := time.Unix(1000, 0), s.SetPeriods(fastest)
	s.End(now, 0)
	sample := func(cost time.Duration) {
		now = now.Add(period)
		s.Begin(now, false)
		u.Read(cost)
		s.End(now, cost)
		period = s.SetPeriods(fastest)
	}
	for range 50 {
		sample(time.Millisecond / 2)
	}
	if sample(13 * time.Millisecond); period > 2*fastest {
		t.Errorf("after one outlier a sample each %s", period)
	}
	for range 40 {
		sample(13 * time.Millisecond)
	}
	if period < 2*time.Second {
		t.Errorf("after 41 of them a sample each %s", period)
	}
}

func many(n int, d time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = d
	}
	return out
}

// Stacks are read in samples for which enough is saved for what they cost on average,
// and what a user does not use goes to the others.
func TestSavings(t *testing.T) {
	t.Parallel()
	var s Shares
	a, b := s.Of(1), s.Of(2)
	s.SetPeriods(fastest)
	for _, c := range []struct {
		saved, cost time.Duration
		stacks      bool
		want        bool
	}{
		{time.Millisecond, 2 * time.Millisecond, true, false}, {2 * time.Millisecond, 2 * time.Millisecond, true, true},
		{MaxSavings, time.Second, true, true}, {MaxSavings, 0, false, false},
	} {
		a.Savings, a.ofLooks = c.saved, c.cost
		if s.Begin(time.Unix(1000, 0), c.stacks); a.Looks != c.want {
			t.Errorf("%+v: %t", c, a.Looks)
		}
	}
	now := time.Unix(1000, 0)
	s.End(now, 0)
	a.Savings, b.Savings = MaxSavings, 0
	now = now.Add(100 * time.Millisecond)
	if s.End(now, 0); a.Savings != MaxSavings || b.Savings != 900*time.Microsecond {
		t.Errorf("saved are %s and %s", a.Savings, b.Savings)
	}
	a.Looked(time.Hour)
	if s.End(now, 0); a.Savings != -maxDebt {
		t.Errorf("owed are %s", a.Savings)
	}
}

// At the first sample users have saved nothing, whenever that is.
func TestNothingSavedAtFirst(t *testing.T) {
	t.Parallel()
	var s Shares
	u := s.Of(1)
	s.SetPeriods(fastest)
	now := time.Now()
	for i, want := range []time.Duration{0, 900 * time.Microsecond, 1800 * time.Microsecond} {
		s.Begin(now, true)
		if s.End(now, 0); u.Savings != want || u.Reserve.Left != time.Duration(i)*100*time.Microsecond {
			t.Errorf("after sample %d %s are saved, and %s for long requests", i+1, u.Savings, u.Reserve.Left)
		}
		now = now.Add(fastest)
	}
}

// The reserve of all users together is at most a thousandth of a core over any time, but
// for what can be saved.
func TestReserve(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var s Shares
	users := []*User{s.Of(1), s.Of(2), s.Of(3)}
	var passed, used time.Duration
	s.End(time.Unix(1000, 0), 0)
	for range 10_000 {
		s.Begin(time.Unix(1000, 0).Add(passed), false)
		for _, u := range users {
			look := time.Duration(r.Int64N(int64(300 * time.Microsecond)))
			for !u.Reserve.Empty() && r.IntN(10) > 0 {
				u.Reserve.Used += look
				used += look
			}
		}
		d := time.Duration(r.Int64N(int64(2 * time.Second)))
		passed += d
		s.End(time.Unix(1000, 0).Add(passed), 0)
		for _, u := range users {
			if u.Reserve.Left > reserve.Most {
				t.Fatalf("%s are left", u.Reserve.Left)
			}
		}
		if used > passed/reserve.Share+3*(reserve.Most+300*time.Microsecond) {
			t.Fatalf("%s used in %s", used, passed)
		}
	}
	if used < passed/reserve.Share/2 {
		t.Errorf("%s used in %s: nothing was to be had", used, passed)
	}
}

// A user whose memory does not come is not read for a while, also if its processes end.
func TestHangs(t *testing.T) {
	t.Parallel()
	var s Shares
	now := time.Unix(1000, 0)
	u := s.Of(1)
	s.Of(2)
	for i, want := range []bool{false, true, true} {
		if u.Hang(now); u.Hangs(now) != want {
			t.Errorf("after %d: %t", i+1, u.Hangs(now))
		}
	}
	none := func(*User) bool { return false }
	s.Keep(now, none)
	if len(s.Users()) != 1 || s.Of(1) != u {
		t.Errorf("%d users", len(s.Users()))
	}
	if now = now.Add(hungFor); u.Hangs(now) {
		t.Error("for ever")
	}
	if u.Hang(now); u.Hangs(now) {
		t.Error("what was long ago counts")
	}
	if s.Keep(now.Add(hungFor), none); len(s.Users()) != 0 {
		t.Error("it is kept for ever")
	}
}

// BenchmarkShares is what the shares of 20 users add to a sample.
func BenchmarkShares(b *testing.B) {
	var s Shares
	for i := range 20 {
		s.Of(procfs.Account(i))
	}
	now := time.Unix(1000, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(fastest)
		s.Begin(now, true)
		for i, u := range s.Users() {
			u.Read(time.Duration(i) * 100 * time.Microsecond)
		}
		s.End(now, 0)
		s.SetPeriods(fastest)
	}
}
