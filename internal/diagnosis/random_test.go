package diagnosis_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// random returns a state that contradicts itself here and there.
func random(r *rand.Rand) *model.State {
	s := &model.State{}
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	seconds := func() float64 {
		return []float64{0, 0.5, 1, 2.5, 7, 40, 100, math.NaN(), math.Inf(1), -3}[r.IntN(10)]
	}
	pid := 0
	for i := range r.IntN(4) {
		a := model.AppWorkers{App: fmt.Sprintf("app%d", i%3)}
		for j := range r.IntN(5) {
			if pid += 1; r.IntN(10) == 0 {
				pid--
			}
			w := model.Worker{Slot: fmt.Sprint(j), PID: pid}
			for k := range r.IntN(5) {
				t := model.Thread{TID: 10*pid + k, Seconds: seconds(), Socket: uint64(r.IntN(12)), Futex: uint64(r.IntN(3)), GIL: r.IntN(3) == 0}
				t.On = pick("idle", "cpu", "mysql", "mysql", "redis", "upstream", "gil", "lock", "lock", "sleep", "unknown", "")
				switch t.On {
				case "mysql":
					t.Peer = pick("mysql:main", "mysql:main", "mysql:x", "", "10.0.0.1:3306")
				case "redis":
					t.Peer = pick("redis:cache", "")
				case "upstream":
					t.Peer = pick("app:app0", "app:app1", "app:app2", "app:", "10.0.0.9:443", "")
				}
				if r.IntN(2) == 0 {
					t.Stack = at("view", pick("a.py", "b.py", "threading.py", "/", ""), r.IntN(100), seconds())
				}
				w.Threads = append(w.Threads, t)
			}
			a.Workers = append(a.Workers, w)
		}
		s.Workers = append(s.Workers, a)
	}
	for range r.IntN(20) {
		c := conn(pick("mysql:main", "mysql:main", "redis:cache", "mysql:x"), uint64(r.IntN(12)), r.IntN(pid+3), uint64(r.IntN(12)), pick("Query", "Sleep", "blpop", ""), seconds())
		c.App, c.Slot = pick("", "", "app0", "app1"), pick("", "", "0", "1")
		s.StoreConnections = append(s.StoreConnections, c)
	}
	for range r.IntN(20) {
		s.StoreWaits = append(s.StoreWaits, wait(pick("mysql:main", "mysql:main", "redis:cache"), uint64(r.IntN(12)), uint64(r.IntN(12)),
			pick("row", "metadata", "script", "slow_command", "full", "blpop", "", "odd"), pick("", "a.b"), seconds()))
		s.StoreWaits[len(s.StoreWaits)-1].Likely = r.IntN(5) == 0
		s.StoreWaits[len(s.StoreWaits)-1].Over = r.IntN(5) == 0
	}
	for range r.IntN(4) {
		s.LockWaits = append(s.LockWaits, model.LockWait{Server: "main", Waiter: model.Connection{ID: uint64(r.IntN(12)), Owner: model.Owner{PID: r.IntN(pid + 2)}},
			Blocker: model.Connection{ID: uint64(r.IntN(12))}, State: pick("", "sleeping", "running"), Seconds: seconds()})
	}
	if r.IntN(3) == 0 {
		s.LockSuspects = append(s.LockSuspects, model.LockSuspect{Server: "main", Connection: model.Connection{ID: uint64(r.IntN(12))}, Did: pick("slept", "had a transaction open"), Seconds: seconds()})
		s.MySQL = []model.MySQLServer{{Name: "main", Up: r.IntN(2) == 0, Full: r.IntN(2) == 0, Holders: []model.Holder{{User: "u", Host: "h", Connections: 9}}[:r.IntN(2)]}}
		s.Redis = []model.RedisServer{{Name: "cache", Up: r.IntN(2) == 0}}
	}
	return s
}

// judge returns what is wrong with the chains of a state; "": nothing.
func judge(s *model.State) string {
	list := diagnosis.Chains(s, noon)
	if again := diagnosis.Chains(s, noon); brief(again) != brief(list) {
		return "not deterministic"
	}
	waiting := make(map[[2]int][]model.Thread) // by pid and tid, which may be given twice
	n := 0
	for i := range s.Workers {
		for _, w := range s.Workers[i].Workers {
			for _, t := range w.Threads {
				waiting[[2]int{w.PID, t.TID}] = append(waiting[[2]int{w.PID, t.TID}], t)
				n++
			}
		}
	}
	victims := 0
	for i := range list {
		c := &list[i]
		if victims += len(c.Victims); len(c.Victims) == 0 || len(c.Links) == 0 || len(c.Links) > 16 || !(c.Seconds >= 1) {
			return "an empty, endless or short chain"
		}
		if i > 0 && len(c.Victims) > len(list[i-1].Victims) {
			return "order"
		}
		for j := range c.Victims {
			v := &c.Victims[j]
			waits := func(t model.Thread) bool {
				return t.On == v.On && t.Seconds >= 1 && slices.Contains([]string{"mysql", "redis", "upstream", "gil", "lock"}, t.On)
			}
			if !slices.ContainsFunc(waiting[[2]int{v.PID, v.TID}], waits) {
				return "a victim that does not wait: " + party(v)
			}
			if root := &c.Links[len(c.Links)-1]; !c.Deadlock && root.TID != 0 && root.TID == v.TID && root.PID == v.PID && !root.Probable && len(waiting[[2]int{v.PID, v.TID}]) == 1 {
				return "the root is a victim: " + party(v)
			}
		}
		for _, text := range []string{diagnosis.Sentence(c, ""), diagnosis.Sentence(c, "app1"), diagnosis.Advice(c)} {
			if text == "" || len(text) > 2000 || strings.Contains(text, "  ") || !strings.HasSuffix(text, ".") {
				return fmt.Sprintf("sentence %q", text)
			}
		}
	}
	if victims > n {
		return "a victim is in two chains"
	}
	x := *s
	x.Chains = list
	p := diagnosis.Victims(&x)
	for i := range list {
		for j := range list[i].Victims {
			v := &list[i].Victims[j]
			if p.Worker(v.App, v.Slot, v.PID) != nil && p.RootWorker(v.App, v.Slot, v.PID) != nil {
				return "a worker is victim and root"
			}
			if p.Connection(v.Server, v.Connection) != nil && p.RootConnection(v.Server, v.Connection) != nil {
				return "a connection is victim and root"
			}
		}
	}
	return ""
}

func TestChainsOfRandomStates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20000) {
		if fault := judge(random(rand.New(rand.NewPCG(seed, 13)))); fault != "" {
			t.Fatalf("seed %d: %s", seed, fault)
		}
	}
}

func FuzzChains(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		if fault := judge(random(rand.New(rand.NewPCG(a, b)))); fault != "" {
			t.Fatal(fault)
		}
	})
}

// Without a wait of a second there is no victim, for any report of the stores.
func TestNobodyWaitsForLong(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		s := random(rand.New(rand.NewPCG(seed, 14)))
		for i := range s.Workers {
			for j := range s.Workers[i].Workers {
				for k := range s.Workers[i].Workers[j].Threads {
					if x := &s.Workers[i].Workers[j].Threads[k]; !(x.Seconds < 1) {
						x.Seconds = 0.99
					}
				}
			}
		}
		if got := brief(diagnosis.Chains(s, noon)); got != "" {
			t.Fatalf("seed %d: %s", seed, got)
		}
	}
}

// The order of the rows does not matter for who is the root.
func TestOrderOfRows(t *testing.T) {
	t.Parallel()
	s := lockScene()
	want := brief(diagnosis.Chains(&s, noon))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 15))
	for range 20 {
		rng.Shuffle(len(s.StoreConnections), reflect.Swapper(s.StoreConnections))
		rng.Shuffle(len(s.StoreWaits), reflect.Swapper(s.StoreWaits))
		if got := brief(diagnosis.Chains(&s, noon)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// A chain of any depth ends at its root; what does not fit is counted.
func TestDepth(t *testing.T) {
	t.Parallel()
	const n = 50
	s := model.State{}
	var workers [][]model.Thread
	for i := range n {
		workers = append(workers, one(on(th("mysql", main, 10, nil), uint64(100+i))))
		s.StoreConnections = append(s.StoreConnections, conn(main, uint64(i+1), 4710+i, uint64(100+i), "Query", 10))
		s.StoreWaits = append(s.StoreWaits, row(uint64(i+1), uint64(i+2), 10))
	}
	s.Workers = []model.AppWorkers{app("shop", 4710, workers...)}
	list := diagnosis.Chains(&s, noon)
	if len(list) != 1 || len(list[0].Victims) != n || len(list[0].Links) != 16 || list[0].Left != n-16 || list[0].Links[15].Connection != n+1 {
		t.Errorf("%s", brief(list))
	}
}

func BenchmarkChains(b *testing.B) {
	s := model.State{}
	var workers [][]model.Thread
	for i := range 64 {
		t := on(th("mysql", main, float64(2+i), at("pay", "pay.py", i, 70)), uint64(100+i))
		workers = append(workers, one(t))
	}
	s.Workers = []model.AppWorkers{app("shop", 4710, workers...)}
	for i := range 500 {
		s.StoreConnections = append(s.StoreConnections, conn(main, uint64(i+1), 4710+i%64, uint64(100+i), "Query", 10))
	}
	for i := range 63 {
		s.StoreWaits = append(s.StoreWaits, row(uint64(i+1), 64, 10))
	}
	b.ReportAllocs()
	for b.Loop() {
		if list := diagnosis.Chains(&s, noon); len(list) == 0 {
			b.Fatal("no chain")
		}
	}
}
