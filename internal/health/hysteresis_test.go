package health_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// A worse level holds at once; a better one after two intervals 5 % below the
// limit. The limits of cpu are 0.80 and 0.90, of cache_hit_rate 0.80 and 0.50.
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
		"down after two intervals": {false, []step{{0, 0.5, "healthy"}, {30 * s, 0.8, "warning"}, {60 * s, 0.5, "warning"}, {90 * s, 0.5, "warning"}, {120 * s, 0.5, "healthy"}}},
		"up at once":               {false, []step{{0, 0.5, "healthy"}, {5 * s, 0.95, "critical"}}},
		"within the margin it stays": {false, []step{{0, 0.8, "warning"}, {30 * s, 0.79, "warning"}, {60 * s, 0.77, "warning"}, {90 * s, 0.761, "warning"}, {300 * s, 0.77, "warning"},
			{330 * s, 0.759, "warning"}, {390 * s, 0.759, "healthy"}}},
		"a look within the margin begins it anew": {false, []step{{0, 0.8, "warning"}, {30 * s, 0.5, "warning"}, {60 * s, 0.79, "warning"}, {90 * s, 0.5, "warning"}, {120 * s, 0.5, "warning"}, {150 * s, 0.5, "healthy"}}},
		"critical to warning":                     {false, []step{{0, 0.95, "critical"}, {30 * s, 0.88, "critical"}, {60 * s, 0.85, "critical"}, {120 * s, 0.85, "warning"}, {600 * s, 0.85, "warning"}}},
		"critical by warning to healthy":          {false, []step{{0, 0.95, "critical"}, {30 * s, 0.85, "critical"}, {60 * s, 0.2, "critical"}, {90 * s, 0.2, "warning"}, {120 * s, 0.2, "warning"}, {180 * s, 0.2, "healthy"}}},
		"many looks an interval":                  {false, []step{{0, 0.8, "warning"}, {5 * s, 0.1, "warning"}, {10 * s, 0.1, "warning"}, {60 * s, 0.1, "warning"}, {65 * s, 0.1, "healthy"}}},
		"unknown is held, then forgotten":         {false, []step{{0, 0.95, "critical"}, {30 * s, -1, "critical"}, {60 * s, -1, "critical"}, {90 * s, -1, "healthy"}, {95 * s, -1, ""}}},
		"one that falls":                          {true, []step{{0, 0.9, "healthy"}, {30 * s, 0.79, "warning"}, {60 * s, 0.83, "warning"}, {300 * s, 0.839, "warning"}, {330 * s, 0.85, "warning"}, {390 * s, 0.85, "healthy"}}},
		"one that falls far":                      {true, []step{{0, 0.4, "critical"}, {30 * s, 0.52, "critical"}, {60 * s, 0.6, "critical"}, {120 * s, 0.6, "warning"}}},
		"worse while it waits to become better":   {false, []step{{0, 0.8, "warning"}, {30 * s, 0.5, "warning"}, {60 * s, 0.95, "critical"}, {90 * s, 0.5, "critical"}, {120 * s, 0.5, "critical"}, {150 * s, 0.5, "healthy"}}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTrial()
			x.in.Redis = []string{"cache"}
			for _, st := range c.steps {
				rs := []health.Reading{reading("resp_up", 1, "app:shop"), reading("resp_up", 1, "redis:cache"), reading("resp_redis_info", 1, "cache", "7")}
				if c.redis {
					rs = append(rs, reading("page.redis_hit_ratio", st.value, "cache"))
				} else if st.value >= 0 {
					rs = append(rs, reading("resp_app_cpu_usage_ratio", st.value, "shop"))
				}
				j := x.look(st.after, rs...)
				if got := levelAt(j, c.redis); got != st.want {
					t.Fatalf("after %s at %v: %q, want %q", st.after, st.value, got, st.want)
				}
			}
		})
	}
}

func levelAt(j health.Judgement, redis bool) string {
	s, component := j.Of("shop"), "cpu"
	if redis {
		s, component = &j.Host, "redis"
	}
	if l, ok := s.Components[component]; ok {
		return l.String()
	}
	return ""
}

// An app goes down and comes back: since is the start, what is told of the past
// says so, and nobody is told to do anything any more.
func TestDownAndBack(t *testing.T) {
	x := newTrial()
	x.look(0, crew("shop", 0, "idle")...)
	j := x.look(30*time.Second, reading("resp_up", 0, "app:shop"))
	if j.Of("shop").Overall != health.Critical {
		t.Fatalf("down: %s", brief(j))
	}
	j = x.look(50*time.Second, reading("resp_up", 0, "app:shop"))
	if f := j.Findings()[0]; f.App != "shop" || f.Name != "app_down" || !f.Since.Equal(noon.Add(30*time.Second)) {
		t.Errorf("%+v", f)
	}
	if a := j.Recommendations(); len(a) != 1 || !strings.Contains(a[0], "has been found for 20 s") {
		t.Errorf("%q", a)
	}
	j = x.look(60*time.Second, crew("shop", 0, "idle")...)
	if f := j.Findings(); len(f) != 1 || f[0].Summary != "until 10 s ago: shop is down: no process of it was found" || len(j.Recommendations()) != 0 {
		t.Errorf("%+v %q", f, j.Recommendations())
	}
	if j = x.look(120*time.Second, crew("shop", 0, "idle")...); j.Of("shop").Overall != health.Healthy || len(j.Findings()) != 0 {
		t.Errorf("back: %s %v", brief(j), j.Findings())
	}
}

// A discovered app that ended is no trouble; one that was in trouble is not
// forgotten because the processes could not be read.
func TestGone(t *testing.T) {
	x := newTrial()
	x.look(0, crew("shop", 0, "stuck")...)
	if j := x.look(5*time.Second, unavailable("process", "timeout", "late")...); j.Of("shop") == nil || j.Of("shop").Overall != health.Critical {
		t.Errorf("not read: %s", brief(j))
	}
	if j := x.look(10 * time.Second); j.Of("shop") != nil || len(j.Findings()) != 0 {
		t.Errorf("gone: %s", brief(j))
	}
}

// The state that was given is not changed: the same look gives the same.
func TestJudgeIsPure(t *testing.T) {
	x := newTrial()
	x.look(0, crew("shop", 0, "stuck")...)
	before := x.state
	first := asJSON(t, x.look(30*time.Second, crew("shop", 0, "idle")...).Apps)
	x.look(90*time.Second, crew("shop", 0, "idle")...)
	x.state = before
	if again := asJSON(t, x.look(30*time.Second, crew("shop", 0, "idle")...).Apps); again != first {
		t.Errorf("first %s\nagain %s", first, again)
	}
}

// Whatever the values do, the level in force is never better than the limits
// say at that look, and it changes for the better at most once in two intervals.
func TestHysteresisNeverFlaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		x := newTrial()
		better, was := time.Duration(-1), health.Healthy
		for n := range 100 {
			at, v := time.Duration(n)*5*time.Second, 0.6+0.4*rnd.Float64()
			now := x.look(at, reading("resp_up", 1, "app:shop"), reading("resp_app_cpu_usage_ratio", v, "shop")).Of("shop").Components["cpu"]
			if v >= 0.9 && now != health.Critical || v >= 0.8 && now == health.Healthy {
				t.Fatalf("%v is %s", v, now)
			}
			if now < was {
				if better >= 0 && at-better < 2*interval {
					t.Fatalf("better after %s and after %s", better, at)
				}
				better = at
			}
			was = now
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	var rs []health.Reading
	for _, app := range []string{"a", "b", "c", "d"} {
		states := make([]string, 50)
		for i := range states {
			states[i] = "busy"
		}
		rs = append(rs, crew(app, 3, states...)...)
	}
	x := newTrial()
	r := health.NewReadings(rs)
	x.in.Readings = r
	b.ReportAllocs()
	for b.Loop() {
		_, x.state = health.Judge(x.in, x.state)
	}
}
