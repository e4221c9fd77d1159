package cause_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// A store that does not answer the exporter is not blamed for harm that it does not do:
// nobody waits for it, or everybody waits for the other one.
func TestAnotherStoreIsDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want  model.Cause
		parts map[string]float64
		seen  []thread
		set   func(s *scene)
	}{
		"nobody waits for it":     {"", map[string]float64{"cpu": 0.1, "sleep": 0.9}, many(4, func(int) thread { return waits("sleep", "", 9) }), func(s *scene) { s.Redis = []model.RedisServer{{Name: "cache"}} }},
		"clients are slow":        {model.CauseSlowClients, map[string]float64{"client": 1}, many(4, func(int) thread { return waits("client", "", 9) }), func(s *scene) { s.Redis = []model.RedisServer{{Name: "cache"}} }},
		"all wait for the other":  {model.CauseDBSlow, map[string]float64{"mysql": 1}, many(4, func(int) thread { return waits("mysql", "mysql:main", 9) }), func(s *scene) { s.Redis = []model.RedisServer{{Name: "cache"}} }},
		"all wait for this one":   {model.CauseRedis, map[string]float64{"redis": 1}, many(4, func(int) thread { return waits("redis", "redis:cache", 9) }), func(s *scene) { s.Redis = []model.RedisServer{{Name: "cache"}} }},
		"both, and all for Redis": {model.CauseRedis, map[string]float64{"redis": 1}, many(4, func(int) thread { return waits("redis", "redis:cache", 9) }), func(s *scene) { s.MySQL[0].Up, s.Redis = false, []model.RedisServer{{Name: "cache"}} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			s.MySQL, s.Redis = []model.MySQLServer{{Name: "main", Up: true}}, []model.RedisServer{{Name: "cache", Up: true}}
			s.Connections = []model.WorkerConnections{{App: "shop", Slot: "0", Component: "mysql:main", Count: 1}, {App: "shop", Slot: "0", Component: "redis:cache", Count: 1}}
			s.healthy(t, 14)
			c.set(s)
			for i := range 8 {
				s.spend(c.parts, c.seen...)
				s.queue(20)
				if b := s.look(); b.Harm.Queue == nil || b.Cause != c.want && (i >= 3 || b.Cause != "") {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}

// Requests that compute for long hold up their app, and not a lack of processors: the
// evidence and the advice say so. While nothing is harmed any more, there is none.
func TestComputing(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.healthy(t, 14)
	for i := range 8 {
		s.spend(map[string]float64{"cpu": 0.6, "cpu_queue": 0.4}, many(4, func(int) thread {
			x := waits("cpu", "", 6+float64(i))
			x.Stack = &model.Stack{View: "shop:report"}
			return x
		})...)
		s.queue(20)
		b := s.look()
		own := slices.ContainsFunc(b.Evidence, func(e model.Evidence) bool {
			return e.Code == "computing_workers" && e.Of == "shop:report" && e.Value == 4
		})
		if i >= 1 && (b.Cause != model.CauseCPU || !own || cause.Advice(&b) == "") {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
	s.queue(0)
	s.spend(map[string]float64{"cpu": 0.05})
	if b := s.look(); b.Cause != model.CauseCPU || b.Harm.Any() || cause.Advice(&b) != "" {
		t.Fatalf("after the end: %+v", b)
	}
}

// Requests that wait for data of Redis by design, and take longer than the threshold, are
// not held up by Redis, though the list of connections is older than what the threads are
// seen in. A script in that Redis holds them up.
func TestWaitsForData(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]bool{"by design": false, "behind a script": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			s.Redis = []model.RedisServer{{Name: "cache", Up: true}}
			s.Connections = []model.WorkerConnections{{App: "shop", Slot: "0", Component: "redis:cache", Count: 1}}
			for i := range 30 {
				s.StoreConnections, s.StoreWaits = nil, nil
				for n := range 4 {
					command := "get"
					if n == i%4 {
						command = "blpop"
					}
					s.StoreConnections = append(s.StoreConnections, model.StoreConnection{
						Server: "redis:cache", Socket: uint64(70 + n), Command: command,
						Connection: model.Connection{ID: uint64(n + 1), Owner: model.Owner{App: "shop", Slot: strconv.Itoa(n), PID: 100 + n}},
					})
				}
				seen := many(i%4, func(n int) thread {
					x := waits("redis", "redis:cache", 2.5)
					x.Socket = uint64(71 + n)
					return x
				})
				slow := script && i >= 15
				if slow {
					s.StoreWaits = []model.StoreWait{{Server: "redis:cache", Blocker: 99, Kind: "script", Seconds: 4}}
					seen = many(4, func(int) thread { return waits("redis", "redis:cache", 4) })
				}
				s.spend(map[string]float64{"redis": 0.8, "cpu": 0.01}, seen...)
				s.Requests = []model.AppRequests{{App: "shop", Total: new(float64(20 * i)), Errors: new(0.0), Timed: new(float64(20 * i)), Seconds: new(float64(80 * i))}}
				b := s.look()
				if b.Cause != "" && !slow || i >= 19 && slow && b.Cause != model.CauseRedis || i >= 3 && b.Harm.Latency == nil {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}
