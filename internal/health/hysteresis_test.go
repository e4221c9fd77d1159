package health_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// A worse level begins at once and ends when the value is 5 % below the limit. Afterwards it
// is recovering ("<") for two intervals. The limits of cpu are 0.80 and 0.90, those of
// cache_hit_rate 0.80 and 0.50.
func TestHysteresisStepByStep(t *testing.T) {
	type step struct {
		after time.Duration
		value float64 // below 0: not known
		want  string
	}
	const s = time.Second
	for name, c := range map[string]struct {
		redis bool
		steps []step
	}{
		"down after two intervals": {false, []step{{0, 0.5, "healthy"}, {30 * s, 0.8, "warning"}, {60 * s, 0.5, "healthy<warning"}, {89 * s, 0.5, "healthy<warning"}, {90 * s, 0.5, "healthy"}}},
		"up at once":               {false, []step{{0, 0.5, "healthy"}, {5 * s, 0.95, "critical"}}},
		"within the margin it stays": {false, []step{{0, 0.8, "warning"}, {30 * s, 0.79, "warning"}, {60 * s, 0.77, "warning"}, {90 * s, 0.761, "warning"}, {300 * s, 0.77, "warning"},
			{330 * s, 0.759, "healthy<warning"}, {360 * s, 0.759, "healthy"}}},
		"what has ended begins at the limit": {false, []step{{0, 0.8, "warning"}, {30 * s, 0.5, "healthy<warning"}, {50 * s, 0.79, "healthy<warning"}, {70 * s, 0.79, "healthy"}, {90 * s, 0.8, "warning"}}},
		"critical to warning":                {false, []step{{0, 0.95, "critical"}, {30 * s, 0.88, "critical"}, {60 * s, 0.85, "warning"}, {120 * s, 0.85, "warning"}, {600 * s, 0.85, "warning"}}},
		"critical by warning to healthy":     {false, []step{{0, 0.95, "critical"}, {30 * s, 0.85, "warning"}, {60 * s, 0.2, "healthy<critical"}, {89 * s, 0.2, "healthy<critical"}, {90 * s, 0.2, "healthy"}}},
		"many looks an interval":             {false, []step{{0, 0.8, "warning"}, {5 * s, 0.1, "healthy<warning"}, {10 * s, 0.1, "healthy<warning"}, {55 * s, 0.1, "healthy<warning"}, {60 * s, 0.1, "healthy"}}},
		"unknown is held, then forgotten":    {false, []step{{0, 0.95, "critical"}, {30 * s, -1, "healthy<critical"}, {59 * s, -1, "healthy<critical"}, {60 * s, -1, "healthy"}, {65 * s, -1, ""}}},
		"one that falls":                     {true, []step{{0, 0.9, "healthy"}, {30 * s, 0.79, "warning"}, {60 * s, 0.83, "warning"}, {300 * s, 0.839, "warning"}, {330 * s, 0.85, "healthy<warning"}, {360 * s, 0.85, "healthy"}}},
		"one that falls far":                 {true, []step{{0, 0.4, "critical"}, {30 * s, 0.52, "critical"}, {60 * s, 0.6, "warning"}, {120 * s, 0.6, "warning"}}},
		"back while it is recovering":        {false, []step{{0, 0.8, "warning"}, {30 * s, 0.5, "healthy<warning"}, {40 * s, 0.95, "critical"}, {90 * s, 0.5, "healthy<critical"}, {99 * s, 0.5, "healthy<critical"}, {100 * s, 0.5, "healthy"}}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			x.in.Redis = []string{"cache"}
			for _, st := range c.steps {
				rs := []modeltest.Fact{fact("resp_up", 1, "app:shop"), fact("resp_up", 1, "redis:cache"), fact("resp_redis_info", 1, "cache", "7")}
				if c.redis {
					rs = append(rs, fact("page.redis_hit_ratio", st.value, "cache"))
				} else if st.value >= 0 {
					rs = append(rs, fact("resp_app_cpu_usage_ratio", st.value, "shop"))
				}
				j := x.look(st.after, rs...)
				if got := levelAt(j, c.redis); got != st.want {
					t.Fatalf("after %s at %v: %q, want %q", st.after, st.value, got, st.want)
				}
			}
		})
	}
}

// levelAt returns the level of the component, and the one from which it is recovering.
func levelAt(j health.Evaluation, redis bool) string {
	s, component := j.Of("shop"), "cpu"
	if redis {
		s, component = &j.Host, "redis"
	}
	l, ok := s.Components[component]
	if !ok {
		return ""
	}
	if held := recovering(s, component); held > health.Healthy {
		return l.String() + "<" + held.String()
	}
	return l.String()
}

// recovering returns the worst level of a component among those that ended lately.
func recovering(s *health.Status, component string) health.Level {
	worst := health.Healthy
	for _, r := range s.Recovering {
		if r.Component == component {
			worst = max(worst, r.Severity)
		}
	}
	return worst
}

// An app that was down and runs again is healthy at once, without findings and advice.
func TestDownAndBack(t *testing.T) {
	x := newTrial()
	x.look(0, appOf("shop", 0, "idle")...)
	j := x.look(30*time.Second, fact("resp_up", 0, "app:shop"))
	if j.Of("shop").Overall != health.Critical {
		t.Fatalf("down: %s", brief(j))
	}
	j = x.look(50*time.Second, fact("resp_up", 0, "app:shop"))
	if f := j.Findings()[0]; f.App != "shop" || f.Name != "app_down" || !f.Since.Equal(noon.Add(30*time.Second)) {
		t.Errorf("%+v", f)
	}
	if a := j.Advice(); len(a) != 1 || a[0].Cause != "app:shop" || !strings.Contains(a[0].Text, health.FormatSeconds(20)) {
		t.Errorf("%q", a)
	}
	j = x.look(60*time.Second, appOf("shop", 0, "idle")...)
	if st := j.Of("shop"); st.Overall != health.Healthy || len(st.Alerts) != 0 || len(j.Findings()) != 0 || len(j.Recommendations()) != 0 {
		t.Errorf("back: %s %+v %q", brief(j), j.Findings(), j.Recommendations())
	}
	if r := j.Of("shop").Recovering; len(r) != 1 || r[0].Name != "app_down" || r[0].Severity != health.Critical || !r[0].Ended.Equal(noon.Add(50*time.Second)) || !r[0].Since.Equal(noon.Add(30*time.Second)) {
		t.Errorf("recovering: %+v", r)
	}
	if r := j.Recovering(); len(r) != 1 || r[0].App != "shop" {
		t.Errorf("recovering: %+v", r)
	}
	if j = x.look(120*time.Second, appOf("shop", 0, "idle")...); len(j.Recovering()) != 0 || len(j.Of("shop").Recovering) != 0 {
		t.Errorf("well for long: %+v", j.Recovering())
	}
}

// The start of a fault is its own, also if another fault ended shortly before.
func TestSinceIsOfThisFault(t *testing.T) {
	x := newTrial()
	down := fact("resp_up", 0, "app:shop")
	x.look(0, down)
	x.look(10*time.Second, appOf("shop", 0, "idle")...)
	if f := x.look(20*time.Second, down).Findings()[0]; !f.Since.Equal(noon.Add(20 * time.Second)) {
		t.Errorf("since %s", f.Since)
	}
	cpu := func(v float64) []modeltest.Fact {
		return append(appOf("shop", 0, "idle"), fact("resp_app_cpu_usage_ratio", v, "shop"))
	}
	x = newTrial()
	x.look(0, cpu(0.81)...)
	x.look(10*time.Second, cpu(0.79)...) // within the margin it has not ended
	x.look(20*time.Second, cpu(0.95)...)
	x.look(30*time.Second, cpu(0.82)...) // no longer critical, and still not well
	if f := x.look(40*time.Second, cpu(0.95)...).Findings()[0]; !f.Since.Equal(noon) {
		t.Errorf("since %s", f.Since)
	}
	x.look(50*time.Second, cpu(0.82)...)
	x.look(60*time.Second, cpu(0.5)...)
	j := x.look(70*time.Second, cpu(0.5)...)
	if r := j.Of("shop").Recovering; len(r) != 1 || !r[0].Since.Equal(noon) || !r[0].Ended.Equal(noon.Add(50*time.Second)) || r[0].Severity != health.Critical || !strings.Contains(r[0].Summary, health.FormatPercent(0.82)) {
		t.Errorf("recovering: %+v", r)
	}
	if f := x.look(80*time.Second, cpu(0.81)...).Findings()[0]; !f.Since.Equal(noon.Add(80 * time.Second)) {
		t.Errorf("since %s", f.Since)
	}
}

// The numbers of a finding are those of the last sample, also within the margin.
func TestNumbersAreOfThisLook(t *testing.T) {
	x := newTrial()
	for after, v := range []float64{0.93, 0.88, 0.84} {
		rs := append(appOf("shop", 0, "idle"), fact("resp_app_cpu_usage_ratio", v, "shop"))
		want := health.FormatPercent(v)
		if f := x.look(time.Duration(after)*10*time.Second, rs...).Findings(); len(f) != 1 || !strings.Contains(f[0].Summary, want) {
			t.Errorf("%v: %+v", v, f)
		}
	}
}

// A discovered app that ended has no fault; the fault of an app stays while the processes
// cannot be read.
func TestGone(t *testing.T) {
	x := newTrial()
	x.look(0, appOf("shop", 0, "stuck")...)
	if j := x.look(5*time.Second, unavailable("process", "timeout", "late")...); j.Of("shop") == nil || j.Of("shop").Overall != health.Warning {
		t.Errorf("not read: %s", brief(j))
	}
	if j := x.look(10 * time.Second); j.Of("shop") != nil || len(j.Findings()) != 0 {
		t.Errorf("gone: %s", brief(j))
	}
}

// Evaluate does not change its input: the same sample has the same result.
func TestEvaluateIsPure(t *testing.T) {
	x := newTrial()
	x.look(0, appOf("shop", 0, "stuck")...)
	before := x.state
	first := asJSON(t, x.look(30*time.Second, appOf("shop", 0, "idle")...).Apps)
	x.look(90*time.Second, appOf("shop", 0, "idle")...)
	x.state = before
	if again := asJSON(t, x.look(30*time.Second, appOf("shop", 0, "idle")...).Apps); again != first {
		t.Errorf("first %s\nagain %s", first, again)
	}
}

// For any values, the level is that of the limits, or that of the limits with the margin;
// a level that ended is listed for two intervals, and a present one is not listed.
func TestHysteresisKeepsToTheLimits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		x := newTrial()
		last := time.Duration(-1) // the last look at which it was not well
		for n := range 100 {
			at, v := time.Duration(n)*5*time.Second, 0.6+0.4*rnd.Float64()
			st := x.look(at, fact("resp_up", 1, "app:shop"), fact("resp_app_cpu_usage_ratio", v, "shop")).Of("shop")
			now := st.Components["cpu"]
			if v >= 0.9 && now != health.Critical || v >= 0.8 && now == health.Healthy || v < 0.9*0.95 && now == health.Critical || v < 0.8*0.95 && now != health.Healthy {
				t.Fatalf("%v is %s", v, now)
			}
			if now > health.Healthy {
				last = at
			}
			want := now == health.Healthy && last >= 0 && at-last < 2*interval
			if got := len(st.Recovering) == 1; got != want {
				t.Fatalf("at %s, last at %s: recovering %t, want %t", at, last, got, want)
			}
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	var rs []modeltest.Fact
	for _, app := range []string{"a", "b", "c", "d"} {
		states := make([]string, 50)
		for i := range states {
			states[i] = "busy"
		}
		rs = append(rs, appOf(app, 3, states...)...)
	}
	x := newTrial()
	r := modeltest.State(rs)
	x.in.State = r
	b.ReportAllocs()
	for b.Loop() {
		_, x.state = health.Evaluate(x.in, x.state)
	}
}
