package cause_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const step = 5 * time.Second

// scene is one app of sync workers, look by look.
type scene struct {
	model.State

	now     time.Time
	threads int
	draws   *rand.Rand
	tracker cause.Tracker
}

func newScene(t *testing.T, threads int) *scene {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	s := &scene{now: time.Unix(1_700_000_000, 0), threads: threads, draws: rand.New(rand.NewPCG(seed, 1))}
	s.Apps = []model.App{{Name: "shop", Up: true}}
	s.Workers = []model.AppWorkers{{App: "shop", Counts: &model.WorkerCounts{}}}
	s.Waits = []model.AppWaits{{App: "shop", Spent: map[string]float64{}}}
	s.Listeners = []model.AppListeners{{App: "shop", Listeners: []model.Listener{{Name: ":8000", Length: new(0.0), Limit: new(128.0), Fullness: new(0.0)}}}}
	for i := range threads {
		slot := strconv.Itoa(i)
		s.Apps[0].Workers = append(s.Apps[0].Workers, model.WorkerProcess{Slot: slot, Started: float64(s.now.Unix()) - 3600})
		s.Workers[0].Workers = append(s.Workers[0].Workers, model.Worker{Slot: slot, PID: 100 + i, State: "idle"})
	}
	return s
}

// thread is what a request thread does at a look, and for how long it has.
type thread struct {
	model.Thread

	state string
}

func waits(on, peer string, seconds float64) thread {
	return thread{model.Thread{On: on, Peer: peer, Seconds: seconds}, "busy"}
}

// spend adds five seconds, of which each thread spends these parts on what is named, with
// a little noise, and the rest idle. The threads are seen as given, the others idle.
func (s *scene) spend(parts map[string]float64, seen ...thread) {
	s.now = s.now.Add(step)
	spent := map[string]float64{}
	maps.Copy(spent, s.Waits[0].Spent)
	rest := float64(s.threads) * step.Seconds()
	for on, part := range parts {
		v := part * float64(s.threads) * step.Seconds() * (0.95 + 0.1*s.draws.Float64())
		v = min(v, rest)
		spent[on] += v
		rest -= v
	}
	spent["idle"] += rest
	s.Waits[0].Spent = spent
	workers := make([]model.Worker, s.threads)
	copy(workers, s.Workers[0].Workers)
	oldest := 0.0
	counts := model.WorkerCounts{}
	for i := range workers {
		w := &workers[i]
		w.State, w.Seconds, w.Threads = "idle", 0, []model.Thread{{TID: w.PID, On: "idle"}}
		counts.Idle++
		if i < len(seen) {
			x := seen[i].Thread
			x.TID = w.PID
			w.State, w.Seconds, w.Threads = seen[i].state, x.Seconds, []model.Thread{x}
			w.Wait = &model.Wait{On: x.On, Peer: x.Peer}
			oldest = max(oldest, x.Seconds)
			if counts.Idle--; w.Seconds >= 10 {
				w.State = "stuck"
				counts.Stuck++
			} else {
				counts.Busy++
			}
		}
	}
	s.Workers[0].Workers, s.Workers[0].Counts, s.Waits[0].Oldest = workers, &counts, &oldest
}

func (s *scene) queue(n float64) {
	s.Listeners[0].Listeners = []model.Listener{{Name: ":8000", Length: &n, Limit: new(128.0), Fullness: new(n / 128)}}
}

// look returns the judgement of the state as it is.
func (s *scene) look() model.Bottleneck {
	s.Chains = diagnosis.Chains(&s.State, s.now)
	list := s.tracker.Next(&s.State, s.now, func(string) config.Thresholds { return config.Default().Thresholds })
	if len(list) != 1 {
		return model.Bottleneck{}
	}
	return list[0]
}

// healthy is a quiet app.
func (s *scene) healthy(t *testing.T, looks int) {
	t.Helper()
	s.queue(0)
	for i := range looks {
		s.spend(map[string]float64{"cpu": 0.05, "mysql": 0.1, "upstream": 0.02}, waits("mysql", "mysql:main", 0.01))
		if b := s.look(); b.Cause != "" {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
}

func many(n int, of func(i int) thread) (out []thread) {
	for i := range n {
		out = append(out, of(i))
	}
	return out
}

// pooled is a thread that waits for a connection of a pool.
func pooled(i int) thread {
	x := waits("lock", "", 3+float64(i))
	x.Stack = &model.Stack{Pool: true}
	return x
}

// connections adds connections of one worker's process.
func (s *scene) connections(n int, command string) {
	for i := range n {
		s.StoreConnections = append(s.StoreConnections, model.StoreConnection{
			Server: "mysql:main", Command: command, Seconds: 9,
			Connection: model.Connection{ID: uint64(len(s.StoreConnections) + 1), Owner: model.Owner{App: "shop", Slot: strconv.Itoa(i % s.threads), PID: 100 + i%s.threads}},
		})
	}
}

// Each cause is reported soon, stays the only one, and ends soon after its fault.
func TestCauses(t *testing.T) {
	t.Parallel()
	up := []model.MySQLServer{{Name: "main", Up: true}}
	for name, c := range map[string]struct {
		want  model.Cause
		peer  string
		parts map[string]float64
		seen  []thread
		set   func(s *scene)
	}{
		"slow statements":  {model.CauseDBSlow, "mysql:main", map[string]float64{"mysql": 0.95, "cpu": 0.01}, many(4, func(int) thread { return waits("mysql", "mysql:main", 2) }), nil},
		"a silent server":  {model.CauseUpstream, "10.0.0.9:443", map[string]float64{"upstream": 1}, many(4, func(i int) thread { return waits("upstream", "10.0.0.9:443", 4+float64(i)) }), nil},
		"Redis":            {model.CauseRedis, "redis:cache", map[string]float64{"redis": 1}, many(4, func(int) thread { return waits("redis", "redis:cache", 3) }), nil},
		"a CPU limit":      {model.CauseCPUThrottled, "", map[string]float64{"throttled": 0.8, "cpu": 0.1, "mysql": 0.1}, many(4, func(int) thread { return waits("cpu", "", 0) }), nil},
		"a lack of CPU":    {model.CauseCPU, "", map[string]float64{"cpu_queue": 0.7, "cpu": 0.2, "mysql": 0.1}, many(4, func(int) thread { return waits("cpu", "", 0) }), nil},
		"the collector":    {model.CauseGC, "", map[string]float64{"gc": 0.8, "cpu": 0.1}, many(4, func(int) thread { return waits("cpu", "", 0) }), nil},
		"the disk":         {model.CauseDisk, "", map[string]float64{"disk": 0.9}, many(4, func(int) thread { return waits("disk", "", 1) }), nil},
		"slow clients":     {model.CauseSlowClients, "", map[string]float64{"client": 1}, many(4, func(int) thread { return waits("client", "", 20) }), nil},
		"too many clients": {model.CauseWorkers, "", map[string]float64{"cpu": 0.3, "mysql": 0.6, "upstream": 0.1}, many(4, func(int) thread { return waits("mysql", "mysql:main", 0.01) }), nil},
		"a pool that leaks": {model.CausePool, "mysql:main", map[string]float64{"lock": 0.95}, many(4, pooled), func(s *scene) {
			s.connections(12, "Sleep")
		}},
		"a pool emptied by slow statements": {model.CauseDBSlow, "mysql:main", map[string]float64{"lock": 0.7, "mysql": 0.25}, many(4, pooled), func(s *scene) {
			s.connections(12, "Query")
		}},
		"a server that does not answer": {model.CauseDBDown, "mysql:main", map[string]float64{"mysql": 1}, many(4, func(int) thread { return waits("mysql", "mysql:main", 6) }), func(s *scene) {
			s.MySQL = []model.MySQLServer{{Name: "main"}}
		}},
		"a full server of the app": {model.CausePool, "mysql:main", map[string]float64{"mysql": 0.6}, many(3, func(int) thread { return waits("mysql", "mysql:main", 4) }), func(s *scene) {
			s.MySQL = []model.MySQLServer{{Name: "main", Full: true, MaxConnections: new(20.0), Holders: []model.Holder{{App: "shop", User: "shop", Connections: 18}}}}
		}},
		"a full server that the exporter still reads": {model.CausePool, "mysql:main", map[string]float64{"cpu": 0.3, "cpu_queue": 0.5}, nil, func(s *scene) {
			s.MySQL = []model.MySQLServer{{Name: "main", Up: true, Connections: new(20.0), MaxConnections: new(20.0), Holders: []model.Holder{{App: "shop", User: "shop", Connections: 18}}}}
			s.Requests = []model.AppRequests{{App: "shop", Total: new(0.0), Errors: new(0.0)}}
		}},
		"a pool emptied by calls to a slow server": {model.CauseUpstream, "10.0.0.9:80", map[string]float64{"lock": 0.6, "upstream": 0.4}, append(many(2, pooled), many(2, func(int) thread { return waits("upstream", "10.0.0.9:80", 1) })...), func(s *scene) {
			s.connections(2, "Sleep")
		}},
		"a full server of others": {model.CauseDBDown, "mysql:main", map[string]float64{"mysql": 0.6}, many(3, func(int) thread { return waits("mysql", "mysql:main", 4) }), func(s *scene) {
			s.MySQL = []model.MySQLServer{{Name: "main", Full: true, MaxConnections: new(20.0), Holders: []model.Holder{{User: "cron", Connections: 18}}}}
		}},
		"a lock of the process": {model.CauseLock, "", map[string]float64{"lock": 0.9}, many(4, func(int) thread { return waits("lock", "", 2) }), nil},
		"the interpreter":       {model.CauseGIL, "", map[string]float64{"gil": 0.7, "cpu": 0.25}, many(4, func(int) thread { return waits("gil", "", 2) }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			s.MySQL = up
			s.Connections = []model.WorkerConnections{{App: "shop", Slot: "0", Component: "mysql:main", Count: 1}}
			s.healthy(t, 14)
			if c.set != nil {
				c.set(s)
			}
			for i := range 12 {
				s.spend(c.parts, c.seen...)
				s.queue(min(float64(12*(i+1)), 100))
				for j := range s.Requests {
					s.Requests[j].Total, s.Requests[j].Errors = new(float64(100*i)), new(float64(90*i))
				}
				b := s.look()
				if i >= 3 && (b.Cause != c.want || b.Peer != c.peer || b.Share < 0.5) {
					t.Fatalf("look %d: %+v", i, b)
				}
				if i < 3 && b.Cause != "" && b.Cause != c.want {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
			s.MySQL, s.StoreConnections, s.Requests = up, nil, nil
			s.queue(0)
			for i := range 12 {
				s.spend(map[string]float64{"cpu": 0.05, "mysql": 0.1, "upstream": 0.02}, waits("mysql", "mysql:main", 0.01))
				if b := s.look(); i >= 5 && b.Cause != "" {
					t.Fatalf("look %d after the end: %+v", i, b)
				}
			}
		})
	}
}

// A lock that a client holds which is no worker has the chain as its evidence.
func TestChain(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4)
	s.MySQL = []model.MySQLServer{{Name: "main", Up: true}}
	s.healthy(t, 14)
	for i := range 4 {
		s.StoreConnections = append(s.StoreConnections, model.StoreConnection{
			Server: "mysql:main", Socket: uint64(70 + i), Command: "Query", Seconds: 20,
			Connection: model.Connection{ID: uint64(i + 1), Owner: model.Owner{App: "shop", Slot: strconv.Itoa(i), PID: 100 + i}},
		})
		s.StoreWaits = append(s.StoreWaits, model.StoreWait{Server: "mysql:main", Waiter: uint64(i + 1), Blocker: 99, Kind: "row", Object: "shop.orders", Seconds: 20})
	}
	s.StoreConnections = append(s.StoreConnections, model.StoreConnection{
		Server: "mysql:main", Command: "Sleep", Seconds: 30, Transaction: new(30.0), Connection: model.Connection{ID: 99, User: "root", Host: "localhost"},
	})
	for i := range 6 {
		s.spend(map[string]float64{"mysql": 1}, many(4, func(n int) thread {
			x := waits("mysql", "mysql:main", 5*float64(i+1))
			x.Socket = uint64(70 + n)
			return x
		})...)
		s.queue(5)
		b := s.look()
		if i >= 1 && (b.Cause != model.CauseDBLock || b.Chain == nil || b.Peer != "mysql:main" || b.Harm.Latency == nil || !b.Since.Before(s.now)) {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
}

// What a healthy app does is no cause, however busy it is.
func TestHealthy(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]func(s *scene, i int){
		"busy": func(s *scene, i int) {
			s.spend(map[string]float64{"cpu": 0.3, "mysql": 0.6}, many(3, func(int) thread { return waits("mysql", "mysql:main", 0.2) })...)
			s.queue(float64(i % 4))
		},
		"long polls": func(s *scene, i int) {
			s.spend(map[string]float64{"redis": 0.5, "cpu": 0.01}, many(2, func(int) thread { return waits("redis", "redis:cache", float64(i%4)) })...)
		},
		"one long report": func(s *scene, i int) {
			s.spend(map[string]float64{"cpu": 0.02, "mysql": 0.2}, waits("mysql", "mysql:main", float64(i%2)*4))
		},
		"a processor that is shared": func(s *scene, i int) {
			s.spend(map[string]float64{"cpu": 0.2, "cpu_queue": 0.25 + 0.2*s.draws.Float64(), "mysql": 0.1}, waits("cpu", "", 0))
			s.queue(float64(i % 3))
		},
		"a wave of requests": func(s *scene, i int) {
			load := 0.1 + 0.08*float64(i%10)
			s.spend(map[string]float64{"cpu": load / 3, "mysql": load * 2 / 3}, waits("mysql", "mysql:main", 0.1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, 4)
			for i := range 200 {
				one(s, i)
				if b := s.look(); b.Cause != "" {
					t.Fatalf("look %d: %+v", i, b)
				}
			}
		})
	}
}

// An app without anything known of its threads is not judged, and the past is bounded.
func TestBounds(t *testing.T) {
	t.Parallel()
	var tracker cause.Tracker
	limits := func(string) config.Thresholds { return config.Default().Thresholds }
	now := time.Unix(1_700_000_000, 0)
	s := model.State{Apps: []model.App{{Name: "a", Up: true}}, Workers: []model.AppWorkers{{App: "a"}}, Waits: []model.AppWaits{{App: "a"}}}
	if out := tracker.Next(&s, now, limits); len(out) != 0 {
		t.Errorf("%+v", out)
	}
	s = model.State{}
	for i := range 230 {
		name := fmt.Sprint(i)
		s.Apps = append(s.Apps, model.App{Name: name, Up: true})
		s.Workers = append(s.Workers, model.AppWorkers{App: name})
		s.Waits = append(s.Waits, model.AppWaits{App: name, Spent: map[string]float64{"idle": 1}})
	}
	if out := tracker.Next(&s, now, limits); len(out) != 200 || tracker.LeftOut() != 30 {
		t.Errorf("%d apps, %d left out", len(out), tracker.LeftOut())
	}
	if out := tracker.Next(&model.State{}, now.Add(2*time.Hour), limits); len(out) != 0 {
		t.Errorf("%+v", out)
	}
	if out := tracker.Next(&s, now.Add(2*time.Hour), limits); len(out) != 200 {
		t.Errorf("%d apps after those of before were forgotten", len(out))
	}
}

// Tasks that no worker serves are reported, while the web app beside them is healthy.
func TestTasks(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	s.healthy(t, 10)
	for i := range 8 {
		s.Queues = []model.Queue{{App: "shop", Name: "default", Length: 3, Oldest: new(float64(5 * i)), Workers: new(0.0)}}
		s.spend(map[string]float64{"cpu": 0.05, "mysql": 0.5}) // longer than usual, without harm
		b := s.look()
		if i >= 4 && (b.Cause != model.CauseTasks || b.Peer != "default" || b.Harm.Tasks == nil) {
			t.Fatalf("look %d: %+v", i, b)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	s := newBenchScene()
	limits := func(string) config.Thresholds { return config.Default().Thresholds }
	b.ReportAllocs()
	for b.Loop() {
		s.now = s.now.Add(step)
		s.tracker.Next(&s.State, s.now, limits)
	}
}

func newBenchScene() *scene {
	s := &scene{now: time.Unix(1_700_000_000, 0), threads: 16, draws: rand.New(rand.NewPCG(1, 1))}
	s.Apps = []model.App{{Name: "shop", Up: true}}
	s.Workers = []model.AppWorkers{{App: "shop"}}
	s.Waits = []model.AppWaits{{App: "shop", Spent: map[string]float64{"idle": 9, "mysql": 4, "cpu": 2, "redis": 1}}}
	for i := range s.threads {
		s.Workers[0].Workers = append(s.Workers[0].Workers, model.Worker{Slot: strconv.Itoa(i), PID: 100 + i, State: "busy", Threads: []model.Thread{{TID: 100 + i, On: "mysql", Peer: "mysql:main", Seconds: 3}}})
	}
	return s
}
