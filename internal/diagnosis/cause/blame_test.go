package cause_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// A store that does not answer the exporter is not the cause of harm that it does not do:
// no thread waits for it, or all wait for the other one.
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

// If requests compute for long, they are the cause and not a lack of processors, in the
// evidence and in the advice; on a host without a free processor the lack is the cause,
// even if that is usual. Once the harm has ended, there is no advice.
func TestComputing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		usual, parts map[string]float64
		own          bool
	}{
		"with a processor": {map[string]float64{"cpu": 0.05}, map[string]float64{"cpu": 0.6, "cpu_queue": 0.4}, true},
		"without one":      {map[string]float64{"cpu": 0.01, "cpu_queue": 0.2}, map[string]float64{"cpu": 0.05, "cpu_queue": 0.95}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			for range 14 {
				s.spend(c.usual)
				s.look()
			}
			for i := range 8 {
				s.spend(c.parts, many(4, func(int) thread {
					x := waits("cpu", "", 6+float64(i))
					x.Stack = &model.Stack{View: "shop:report"}
					return x
				})...)
				s.queue(20)
				b := s.look()
				own := slices.ContainsFunc(b.Evidence, func(e model.Evidence) bool {
					return e.Code == "computing_workers" && e.Of == "shop:report" && e.Value == 4
				})
				if i >= 1 && (b.Cause != model.CauseCPU || own != c.own || cause.Advice(&b) == "") {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
			s.queue(0)
			s.spend(map[string]float64{"cpu": 0.05})
			if b := s.look(); b.Cause != model.CauseCPU || b.Harm.Any() || cause.Advice(&b) != "" {
				t.Fatalf("after the end: %+v", b)
			}
		})
	}
}

// listPolls lists the connections of four workers to Redis, of which one waits for data.
func (s *scene) listPolls(waiting int) {
	s.StoreConnections = nil
	for n := range 4 {
		command := "get"
		if n == waiting {
			command = "blpop"
		}
		s.StoreConnections = append(s.StoreConnections, model.StoreConnection{
			Server: "redis:cache", Socket: uint64(70 + n), Command: command,
			Connection: model.Connection{ID: uint64(n + 1), Owner: model.Owner{App: "shop", Slot: strconv.Itoa(n), PID: 100 + n}},
		})
	}
}

// Requests that wait for data of Redis by design, and take longer than the threshold, are
// not held up by Redis, though the list of connections is older than what the threads are
// seen in. A script in that Redis holds them up.
func TestWaitsForData(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.Redis = []model.RedisServer{{Name: "cache", Up: true}}
	s.Connections = []model.WorkerConnections{{App: "shop", Slot: "0", Component: "redis:cache", Count: 1}}
	look := func(i int, seen []thread) model.Bottleneck {
		s.listPolls(i % 4)
		s.spend(map[string]float64{"redis": 0.8, "cpu": 0.01}, seen...)
		done := float64(20 * i)
		s.Requests = []model.AppRequests{{App: "shop", Total: new(done), Errors: new(0.0), Timed: new(done), Seconds: new(6 * done)}}
		return s.look()
	}
	for i := range 15 {
		b := look(i, many(i%4, func(n int) thread {
			x := waits("redis", "redis:cache", 2.5)
			x.Socket = uint64(71 + n)
			return x
		}))
		if b.Cause != "" || i >= 3 && b.Harm.Latency == nil {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
	for i := range 6 {
		s.StoreWaits = []model.StoreWait{{Server: "redis:cache", Blocker: 99, Kind: "script", Seconds: 4}}
		b := look(15+i, many(4, func(int) thread { return waits("redis", "redis:cache", 4) }))
		if i >= 3 && b.Cause != model.CauseRedis {
			t.Fatalf("look %d behind a script: %+v", i, b)
		}
	}
}

// On a host without a processor left, an app whose waits all become longer is held up by no
// server; one that waits for nothing but a server is, and one that waits for a processor
// lacks it.
func TestStarvedHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want   model.Cause
		latest float64
		parts  map[string]float64
	}{
		"all waits are longer":     {"", 0.99, map[string]float64{"upstream": 0.55, "cpu_queue": 0.3, "gil": 0.05, "cpu": 0.1}},
		"the same, with room":      {model.CauseUpstream, 0.2, map[string]float64{"upstream": 0.55, "cpu_queue": 0.3, "gil": 0.05, "cpu": 0.1}},
		"nothing but the server":   {model.CauseUpstream, 0.99, map[string]float64{"upstream": 0.9, "cpu_queue": 0.03, "cpu": 0.01}},
		"mostly without processor": {model.CauseCPU, 0.99, map[string]float64{"upstream": 0.3, "cpu_queue": 0.6, "cpu": 0.1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 8)
			s.healthy(t, 14)
			s.Pressures = []model.Pressure{{Resource: "cpu", Kind: "some", Latest: c.latest}}
			for i := range 8 {
				s.spend(c.parts, many(4, func(int) thread { return waits("upstream", "10.0.0.9:80", 0.5) })...)
				s.queue(40)
				if b := s.look(); b.Cause != c.want && (i >= 3 || b.Cause != "") {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}

// An app that was idle since the exporter's start has no past to which long requests could
// be compared.
func TestIdleBefore(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.queue(0)
	for i := range 40 {
		if i < 14 {
			s.spend(nil)
		} else {
			s.spend(map[string]float64{"upstream": 0.6, "cpu": 0.01}, many(3, func(n int) thread { return waits("upstream", "10.0.0.9:443", float64(n)+0.9) })...)
		}
		if b := s.look(); b.Cause != "" || b.Harm.Any() {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
}

// More requests that each take as long as always, and less CPU time than right after the
// start, need more workers: no server is slow. If as many requests end as before, it is.
func TestMoreRequests(t *testing.T) {
	t.Parallel()
	for want, rate := range map[model.Cause]float64{model.CauseWorkers: 400, model.CauseDBSlow: 50} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			done := 0.0
			look := func(n, queue, mysql, cpu float64) model.Bottleneck {
				done += n
				s.Requests = []model.AppRequests{{App: "shop", Total: new(done), Errors: new(0.0)}}
				s.queue(queue)
				s.spend(map[string]float64{"mysql": mysql, "cpu": cpu}, waits("mysql", "mysql:main", 0.1))
				return s.look()
			}
			for i := range 14 {
				if b := look(50, 0, 0.1, 0.05); b.Cause != "" {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
			for i := range 8 {
				if b := look(rate, 50, 0.85, 0.15); i >= 3 && b.Cause != want {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}
