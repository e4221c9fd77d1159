package parts_test

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/parts"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

var updateGolden = flag.Bool("update", false, "write the goldens anew")

var (
	now     = time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)
	hostile = "<b>\"'&</b>\u05d7\u05e0\u05d5\u05ea" + strings.Repeat("x", 200)
)

// states returns states by name: nothing, all known, in trouble, of hostile names, and
// with names alone.
func states() map[string]*model.State {
	return map[string]*model.State{
		"none": {}, "healthy": webtest.Healthy(now), "down": webtest.Down(now), "hostile": webtest.Hostile(hostile, now),
		"unknown": {
			MySQL: []model.MySQLServer{{Name: "main", Up: true}}, Redis: []model.RedisServer{{Name: "cache", Up: true}}, Pools: []model.Pool{{App: "shop"}},
			Queues: []model.Queue{{App: "shop"}}, Sessions: []model.Sessions{{App: "shop"}},
			LockWaits: []model.LockWait{{Server: "main"}},
		},
	}
}

func judged(s *model.State) *health.Evaluation {
	in := health.Input{State: s, At: now, Limits: config.Default().Thresholds, Interval: time.Second}
	for i := range s.MySQL {
		in.MySQL = append(in.MySQL, s.MySQL[i].Name)
	}
	for i := range s.Redis {
		in.Redis = append(in.Redis, s.Redis[i].Name)
	}
	j, _ := health.Evaluate(in, health.State{})
	return &j
}

// The lines of servers, pools, tasks and sessions, and what the JSON has of them.
func TestGolden(t *testing.T) {
	out := make(map[string]any)
	for name, s := range states() {
		app := "shop"
		if name == "hostile" {
			app = hostile
		}
		facts := [][]string{}
		pools, queues, sessions := parts.PoolsOf(s, app), parts.QueuesOf(s, app), parts.SessionsOf(s, app)
		for i := range pools {
			facts = append(facts, pools[i].Facts())
		}
		for i := range queues {
			facts = append(facts, queues[i].Facts())
		}
		for i := range sessions {
			facts = append(facts, sessions[i].Facts())
		}
		out[name] = map[string]any{
			"stores": parts.StoresOf(s, judged(s)), "facts": facts, "pools": parts.PoolsStatus(pools), "tasks": parts.QueuesStatus(queues),
			"sessions": parts.SessionsStatus(sessions), "lock_waits": parts.LockWaitsStatus(s.LockWaits),
		}
	}
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "parts.json", append(text, '\n'), *updateGolden)
}

// A badge is the health of a server, whether it answers or not; unknown is not healthy.
func TestLevelOfStores(t *testing.T) {
	level := func(s *model.State, j *health.Evaluation, name string) string {
		for _, x := range parts.StoresOf(s, j) {
			if x.Name == name {
				return x.Level.String() + " " + x.Word
			}
		}
		return "none"
	}
	slow := webtest.Healthy(now)
	slow.MySQL[0].Connections = model.Known(150)
	for name, c := range map[string]struct {
		s    *model.State
		j    *health.Evaluation
		of   string
		want string
	}{
		"healthy":       {webtest.Healthy(now), judged(webtest.Healthy(now)), "main", "healthy healthy"},
		"nearly full":   {slow, judged(slow), "main", "warning warning"},
		"down":          {webtest.Down(now), judged(webtest.Down(now)), "cache", "critical critical"},
		"not judged":    {webtest.Healthy(now), &health.Evaluation{}, "cache", "unknown unknown"},
		"down, no look": {webtest.Down(now), &health.Evaluation{}, "cache", "critical critical"},
		"not there":     {&model.State{}, &health.Evaluation{}, "main", "none"},
	} {
		if got := level(c.s, c.j, c.of); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Parts are by name, and of one app alone.
func TestParts(t *testing.T) {
	s := &model.State{
		Pools:    []model.Pool{{App: "shop", Name: "b"}, {App: "blog", Name: "x"}, {App: "shop", Name: "a"}},
		Queues:   []model.Queue{{App: "shop", Name: "b"}, {App: "blog", Name: "x"}, {App: "shop", Name: "a"}},
		Sessions: []model.Sessions{{App: "shop", Redis: "b"}, {App: "blog", Redis: "x"}, {App: "shop", Redis: "a"}},
	}
	p, q, x := parts.PoolsOf(s, "shop"), parts.QueuesOf(s, "shop"), parts.SessionsOf(s, "shop")
	if len(p) != 2 || p[0].Name != "a" || len(q) != 2 || q[0].Name != "a" || len(x) != 2 || x[0].Redis != "a" {
		t.Errorf("%v %v %v", p, q, x)
	}
	if n := (parts.Pool{Pool: &model.Pool{InUse: 1, InTransaction: 4, Leaked: 9, Idle: 7}}).Taken(); *n != 14 {
		t.Errorf("%g connections are taken", *n)
	}
}

func TestInteger(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "17": 17, "-1": -1} {
		if got := parts.Integer(s); got == nil || *got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{"", "a", "1.5", "99999999999999999999", hostile} {
		if got := parts.Integer(s); got != nil {
			t.Errorf("%.20q: %d", s, *got)
		}
	}
}
