package health_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// variation is one state of the golden file of variations.
type variation struct {
	name string
	s    model.State
}

func input(s *model.State, after time.Duration) health.Input {
	return health.Input{
		State: s, At: noon.Add(after), Limits: config.Default().Thresholds, Interval: interval, MySQL: []string{"main"}, Redis: []string{"cache"},
		Parts: []health.Part{{App: "shop", Component: "pools", Name: "main"}, {App: "blog", Component: "pools", Name: "spare"}},
	}
}

// listed returns an app whose workers are listed one by one: "stuck*2 idle".
func listed(server string, workers ...model.Worker) model.State {
	a := model.App{Name: "shop", Up: true, Server: server}
	for i := range workers {
		w := &workers[i]
		w.Slot = fmt.Sprint(i)
		if w.PID == 0 {
			w.PID = 4710 + i
		} else if w.PID < 0 {
			w.PID = 0
		}
		a.Workers = append(a.Workers, model.WorkerProcess{Slot: w.Slot})
	}
	return model.State{Apps: []model.App{a}, Workers: []model.AppWorkers{{App: "shop", Workers: workers}}}
}

func queued(s model.State, name string, length, limit float64) model.State {
	l := model.Listener{Name: name, Length: &length}
	if limit > 0 {
		l.Limit, l.Fullness = &limit, new(length/limit)
	}
	if len(s.Listeners) == 0 {
		s.Listeners = []model.AppListeners{{App: "shop"}}
	}
	s.Listeners[0].Listeners = append(s.Listeners[0].Listeners, l)
	return s
}

// stateVariations returns two workers in each pair of states, with each kind of queue.
func stateVariations() (out []variation) {
	states := []string{"busy", "idle", "stuck", "booting", ""}
	for i, a := range states {
		for _, b := range states[i:] {
			for _, length := range []float64{-1, 0, 1, 2, 128} {
				for _, spare := range []float64{0, 1} {
					s := listed("gunicorn", model.Worker{State: a, Seconds: 0.9}, model.Worker{State: b, Seconds: 1})
					s.Workers[0].Spare = spare
					if length >= 0 {
						s = queued(s, ":8000", length, 128)
					}
					out = append(out, variation{fmt.Sprintf("%s and %s, queue %v, spare %v", a, b, length, spare), s})
				}
			}
		}
	}
	for _, unready := range []float64{1, 2, 3, 4} {
		s := listed("gunicorn", model.Worker{State: "idle"})
		s.Workers[0].Unready = unready
		out = append(out, variation{fmt.Sprintf("%v ended unready", unready), s})
	}
	s := listed("gunicorn", model.Worker{State: "idle", Seconds: 3}, model.Worker{State: "idle", Seconds: 7})
	out = append(out, variation{"two queues", queued(queued(s, ":8000", 60, 128), "/run/shop", 3, 0)})
	counted := listed("gunicorn", model.Worker{State: "busy", Seconds: 3, Detail: "poll"})
	counted.Workers[0].Counts = &model.WorkerCounts{Busy: 2, Booting: 1}
	return append(out, variation{"counted, one boots", queued(counted, ":8000", 9, 0)})
}

// waitVariations returns one, two and five workers that wait for each kind of thing.
func waitVariations() (out []variation) {
	waits := []*model.Wait{
		nil, {On: "mysql", Peer: "mysql:main"}, {On: "mysql"}, {On: "redis", Peer: "redis:cache"}, {On: "redis", Peer: "10.0.0.1:6379"}, {On: "upstream", Peer: "10.0.0.9:443"},
		{On: "upstream"}, {On: "upstream", Peer: "app:blog"}, {On: "client"}, {On: "lock"}, {On: "disk"}, {On: "sleep"}, {On: "child"}, {On: "cpu"}, {On: "other"}, {On: "other", Peer: "x"},
	}
	for _, x := range waits {
		for _, n := range []int{1, 2, 5} {
			for _, state := range []string{"stuck", "busy"} {
				name := fmt.Sprintf("%d %s without a wait", n, state)
				if x != nil {
					name = fmt.Sprintf("%d %s on %s %s", n, state, x.On, x.Peer)
				}
				list := make([]model.Worker, n)
				for i := range list {
					list[i] = model.Worker{State: state, Seconds: 30 - float64(i), Detail: "poll", Wait: x}
				}
				out = append(out, variation{name, listed("gunicorn", list...)})
			}
		}
	}
	lock := &model.Wait{On: "lock"}
	for name, s := range map[string]model.State{
		"a server that replaces nobody": listed("waitress", model.Worker{State: "stuck", Seconds: 30, Wait: lock}),
		"pids that are not known":       listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, PID: -1, Wait: &model.Wait{On: "child"}}, model.Worker{State: "stuck", PID: -1, Wait: lock}),
		"one pid that is not known":     listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: lock}, model.Worker{State: "stuck", Seconds: 2, PID: -1, Wait: lock}),
		"a stuck and a busy one":        listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: waits[5]}, model.Worker{State: "busy", Seconds: 9, Wait: waits[5]}),
		"two peers":                     listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: waits[5]}, model.Worker{State: "stuck", Seconds: 9, Wait: &model.Wait{On: "upstream", Peer: "10.0.0.8:443"}}),
		"two details":                   listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Detail: "poll"}, model.Worker{State: "stuck", Seconds: 9, Detail: "read"}),
		"without a detail":              listed("gunicorn", model.Worker{State: "stuck", Seconds: 30}, model.Worker{State: "stuck", Seconds: 9}),
		"busy for a second":             listed("gunicorn", model.Worker{State: "busy", Seconds: 1, Wait: waits[10]}, model.Worker{State: "busy", Seconds: 0.99, Wait: waits[8]}),
		"slots 2 and 10 are as long":    listed("gunicorn", slices.Repeat([]model.Worker{{State: "stuck", Seconds: 30, Wait: waits[6]}}, 11)...),
	} {
		out = append(out, variation{name, s})
	}
	for _, cores := range []float64{0.49, 0.5, 1} {
		s := listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: &model.Wait{On: "cpu"}})
		s.Apps[0].Workers[0].CPU = new(cores)
		out = append(out, variation{fmt.Sprintf("%v cores", cores), s})
	}
	for _, blocked := range []float64{0, 1, 2} {
		s := listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: waits[3]})
		s.Redis = []model.RedisServer{{Name: "cache", Up: true, Informed: true, Blocked: new(blocked)}}
		out = append(out, variation{fmt.Sprintf("%v blocked clients", blocked), s})
	}
	slices.SortFunc(out, func(a, b variation) int { return strings.Compare(a.name, b.name) })
	return out
}

// poolVariations returns pools with each number of leaks, and leaks of each owner.
func poolVariations() (out []variation) {
	for _, leaked := range []float64{0, 1, 2, 3} {
		for _, listedLeaks := range []int{0, 1, 2} {
			for _, owners := range [][]float64{nil, {1, 0}, {1, 1}, {1, 2}} {
				p := model.Pool{App: "shop", Name: "main", InUse: 1, InTransaction: 2, Leaked: leaked, Capacity: new(5.0), Utilization: new((3 + leaked) / 5)}
				for i := range min(listedLeaks, int(leaked)) {
					p.Leaks = append(p.Leaks, model.Leak{Server: "main", Connection: uint64(90 + i), Seconds: 40 - float64(i)})
				}
				for i, n := range owners {
					p.Workers = append(p.Workers, model.PoolWorker{Slot: fmt.Sprint(1 - i), Leaked: n})
				}
				s := listed("gunicorn", model.Worker{State: "idle"}, model.Worker{State: "idle"})
				s.Pools = []model.Pool{p, {App: "blog", Name: "spare", InUse: 2}}
				out = append(out, variation{fmt.Sprintf("%v leaked, %d listed, of workers %v", leaked, listedLeaks, owners), s})
			}
		}
	}
	s := listed("gunicorn", model.Worker{State: "idle"})
	s.Pools = []model.Pool{{App: "shop", Name: "main", InUse: 2, Leaked: 1, Leaks: []model.Leak{{Server: "main", Connection: 9, Seconds: 70}}}}
	return append(out, variation{"a pool without a capacity", s})
}

// storeVariations returns owners of locks and statements, queues, sessions and servers.
func storeVariations() (out []variation) {
	wait := &model.Wait{On: "mysql", Peer: "mysql:main"}
	servers := []model.MySQLServer{{Name: "main", Up: true, LongestQuery: new(9.0)}}
	owners := []model.Connection{
		{ID: 9, Owner: model.Owner{App: "blog", Slot: "1", PID: 5001}}, {ID: 9, Owner: model.Owner{App: "blog", Slot: "1"}, User: "u"}, {ID: 9, User: "ann", Host: "10.0.0.7"}, {ID: 9, User: "ann"}, {ID: 9, Host: "h"}, {},
	}
	for i, c := range owners {
		for _, n := range []int{1, 2, 12} {
			s := listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: wait}, model.Worker{State: "idle"})
			s.MySQL = servers
			for k := range n {
				app, slot := "shop", fmt.Sprint(k)
				if k%3 == 2 {
					app = "wiki"
				}
				s.LockWaits = append(s.LockWaits, model.LockWait{Server: "main", Seconds: 20 - float64(k), Blocker: c, State: []string{"", "sleeping"}[i%2], Waiter: model.Connection{ID: uint64(20 + k), Owner: model.Owner{App: app, Slot: slot}}})
			}
			out = append(out, variation{fmt.Sprintf("%d wait for owner %d", n, i), s})
		}
		s := listed("gunicorn", model.Worker{State: "stuck", Seconds: 30, Wait: wait})
		s.MySQL = servers
		for k, word := range []string{"SELECT", "UPDATE", "statement", ""} {
			q := model.Query{Server: "main", Connection: c, Statement: word, Seconds: 9 - float64(k)}
			q.ID += uint64(i + k)
			s.Queries = append(s.Queries, q)
		}
		out = append(out, variation{fmt.Sprintf("statements of owner %d", i), s})
		s.Queries = []model.Query{{Server: "other", Connection: model.Connection{ID: 3, Owner: model.Owner{App: "shop", Slot: "0"}}}, {Server: "main", Connection: model.Connection{ID: 4, Owner: model.Owner{App: "blog", Slot: "0"}}}, {Server: "main", Connection: model.Connection{ID: 5, Owner: model.Owner{App: "shop", Slot: "0", PID: 4710}}, Statement: "INSERT", Seconds: 8}}
		out = append(out, variation{fmt.Sprintf("the statement of worker 0, %d", i), s})
	}
	for _, workers := range []float64{-1, 0, 1, 2} {
		for _, running := range []float64{-1, 1, 2} {
			for _, length := range []float64{0, 1, 2} {
				s := listed("gunicorn", model.Worker{State: "idle"})
				q := model.Queue{App: "shop", Name: "mail", Length: length, Oldest: new(7200.0), Orphaned: new(length)}
				if workers >= 0 {
					q.Workers = new(workers)
				}
				if running >= 0 {
					q.Running = new(running)
				}
				s.Queues = []model.Queue{q}
				out = append(out, variation{fmt.Sprintf("%v task workers, %v run, %v wait", workers, running, length), s})
			}
		}
	}
	return append(out, resourceVariations()...)
}

func resourceVariations() (out []variation) {
	for _, v := range []float64{0, 1, 2} {
		s := listed("gunicorn", model.Worker{State: "idle"}, model.Worker{State: "idle"})
		s.Apps[0].CPU, s.Host = new(0.99), model.Host{Memory: new(0.99), CPU: new(0.99)}
		s.Memory = []model.AppMemory{{App: "shop", PSS: new(v * 1e8), Usage: new(0.99), Workers: []model.WorkerMemory{{Slot: "0", RSS: v * 1e6}, {Slot: "1", RSS: 1e6, Sampled: v == 2, PSS: 3e5}}}}
		if v > 0 {
			s.Memory[0].Limit, s.Apps[0].Workers[0].CPU, s.Apps[0].Workers[1].CPU = new(5e8), new(v/2), new(0.5)
		}
		s.Apps = append(s.Apps, model.App{Name: "wiki", Up: true, CPU: new(0.99 * v / 2)}, model.App{Name: "zoo", Up: true})
		s.Workers = append(s.Workers, model.AppWorkers{App: "wiki", Workers: []model.Worker{{Slot: "0", State: "idle"}}}, model.AppWorkers{App: "zoo", Workers: []model.Worker{{Slot: "0", State: "idle"}}})
		s.Memory = append(s.Memory, model.AppMemory{App: "wiki", PSS: new(1e8)})
		s.MySQL = []model.MySQLServer{{Name: "main", Up: true, LongestQuery: new(0.1), Connections: new(v), MaxConnections: new(v)}}
		if v == 2 {
			s.MySQL[0].Holders = []model.Holder{{User: "u", Host: "h", Connections: 2, Asleep: 1}}
		}
		s.Connections = []model.WorkerConnections{{App: "zoo", Component: "mysql:main", Count: v}, {App: "blog", Component: "mysql:main", Count: v}, {App: "a", Component: "redis:cache", Count: 9}}
		s.Redis = []model.RedisServer{{Name: "cache", Up: true, Informed: true, HitRatio: new(0.1), Lookups: new(5000.0), Memory: new(v * 45e6)}}
		if v > 0 {
			s.Redis[0].MaxMemory = new(1e8)
		}
		s.Sessions = []model.Sessions{{App: "shop", Redis: "cache", Count: new(1000 * v), WithoutExpiry: new(1000.0), Bytes: new(5e6)}}
		s.Requests = []model.AppRequests{{App: "shop", Mean: new(9.0), Slow5m: new(v), ErrorRatio: new(0.5), Rate: new(v / 50)}}
		out = append(out, variation{fmt.Sprintf("all resources, %v", v), s})
	}
	return out
}

// Each pair of states, each wait, each owner of a leak or a lock: what is found, with
// the levels, the causes and the sentences.
func TestGoldenVariations(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, v := range slices.Concat(stateVariations(), waitVariations(), poolVariations(), storeVariations()) {
		j, _ := health.Evaluate(input(&v.s, 0), health.State{})
		fmt.Fprintf(&out, "%s: %s\n", v.name, brief(j))
		for _, f := range j.Findings() {
			fmt.Fprintf(&out, "\t%s %s/%s: %s\n", f.Severity, f.App, f.Name, f.Summary)
		}
		for _, a := range j.Advice() {
			fmt.Fprintf(&out, "\t> %s: %s\n", a.Cause, a.Text)
		}
	}
	golden.Check(t, "variations.golden", out.Bytes(), *updateGolden)
}

// sweeps returns states by a measure, for which the limit is 1.
func sweeps() map[string]func(v float64) model.State {
	l := config.Default().Thresholds
	of := func(set func(s *model.State)) model.State {
		s := listed("gunicorn", model.Worker{State: "idle"})
		s.MySQL, s.Redis = []model.MySQLServer{{Name: "main", Up: true, LongestQuery: new(0.0)}}, []model.RedisServer{{Name: "cache", Up: true, Informed: true}}
		set(&s)
		return s
	}
	return map[string]func(v float64) model.State{
		"sessions, by number": func(v float64) model.State {
			return of(func(s *model.State) {
				s.Sessions = []model.Sessions{{App: "shop", Redis: "cache", Count: new(500.0), WithoutExpiry: new(100 * v)}}
			})
		},
		"sessions, by share": func(v float64) model.State {
			return of(func(s *model.State) {
				s.Sessions = []model.Sessions{{App: "shop", Redis: "cache", Count: new(1e4), WithoutExpiry: new(1000 * v)}}
			})
		},
		"connections": func(v float64) model.State {
			return of(func(s *model.State) { s.MySQL[0].Connections, s.MySQL[0].MaxConnections = new(200*v), new(200.0) })
		},
		"the app's statement": func(v float64) model.State {
			return of(func(s *model.State) {
				s.MySQL[0].AppQuery, s.MySQL[0].SharedQuery = new(10*l.QueryTime.Critical*v), new(0.0)
			})
		},
		"statements": func(v float64) model.State {
			return of(func(s *model.State) { s.MySQL[0].SharedQuery = new(l.QueryTime.Critical * v) })
		},
		"hits": func(v float64) model.State {
			return of(func(s *model.State) { s.Redis[0].HitRatio = new(l.CacheHitRate.Critical * v) })
		},
		"queue": func(v float64) model.State {
			return queued(of(func(*model.State) {}), ":8000", l.RequestQueue.Critical*v, 0)
		},
		"a full queue": func(v float64) model.State {
			return queued(of(func(*model.State) {}), ":8000", 10*v, 10)
		},
	}
}

// A level rises at the limit, and falls only below the limit less the margin.
func TestGoldenSweeps(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	all := sweeps()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "%s\n", name)
		for _, from := range []float64{0.2, 3} { // healthy, or unhealthy, at the evaluation before
			for _, v := range []float64{0.5, 0.79, 0.8, 0.81, 0.89, 0.9, 0.91, 0.95, 0.99, 1, 1.01, 1.1, 1.2} {
				before, now := all[name](from), all[name](v)
				_, state := health.Evaluate(input(&before, 0), health.State{})
				j, _ := health.Evaluate(input(&now, interval), state)
				fmt.Fprintf(&out, "\t%v after %v: %s\n", v, from, brief(j))
			}
		}
	}
	golden.Check(t, "sweeps.golden", out.Bytes(), *updateGolden)
}
