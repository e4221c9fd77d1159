package measures_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// full returns a state in which everything about shop is known, beside another app and
// servers that shop is not connected to.
func full() *model.State {
	return &model.State{
		Apps: []model.App{
			{Name: "blog", CPU: new(0.9), Threads: new(99.0)},
			{Name: "shop", CPU: new(0.5), Threads: new(12.0)},
		},
		Memory: []model.AppMemory{
			{App: "blog", RSS: new(9e9), PSS: new(9e9), Usage: new(0.99)},
			{App: "shop", RSS: new(8e8), PSS: new(5e8), Usage: new(0.25)},
		},
		Disks: []model.Disk{{Usage: 0.2}, {Usage: 0.75}, {Usage: 0.5}},
		Pools: []model.Pool{
			{App: "blog", Utilization: new(1.0)}, {App: "shop", Utilization: new(0.3)},
			{App: "shop"}, {App: "shop", Utilization: new(0.6)}, {App: "shop", Utilization: new(0.4)},
		},
		Listeners: []model.AppListeners{
			{App: "blog", Listeners: []model.Listener{{Length: new(50.0)}}},
			{App: "shop", Listeners: []model.Listener{{Length: new(3.0)}, {}, {Length: new(4.0)}}},
		},
		Requests: []model.AppRequests{
			{App: "blog", Mean: new(9.0), Slow5m: new(9.0), ErrorRatio: new(0.9), Rate: new(9.0)},
			{App: "shop", Mean: new(0.2), Slow5m: new(7.0), ErrorRatio: new(0.01), Rate: new(120.0)},
		},
		MySQL: []model.MySQLServer{
			{Name: "main", LongestQuery: new(4.0)}, {Name: "second", LongestQuery: new(6.0)},
			{Name: "idle", LongestQuery: new(80.0)}, {Name: "blogs", LongestQuery: new(90.0)},
		},
		Redis: []model.RedisServer{
			{Name: "cache", HitRatio: new(0.8)}, {Name: "cold", HitRatio: new(0.6)}, {Name: "queue", HitRatio: new(0.1), Stateful: true},
			{Name: "blogs", HitRatio: new(0.2)},
		},
		Connections: []model.WorkerConnections{
			{App: "shop", Component: "mysql:main", Count: 2}, {App: "shop", Component: "mysql:second", Count: 1}, {App: "shop", Component: "mysql:idle"},
			{App: "blog", Component: "mysql:blogs", Count: 3}, {App: "shop", Component: "redis:cache", Count: 1}, {App: "shop", Component: "redis:cold", Count: 1},
			{App: "shop", Component: "redis:queue", Count: 1}, {App: "blog", Component: "redis:blogs", Count: 1},
		},
		Workers: []model.AppWorkers{{App: "blog", Spare: 1}, {App: "shop", Spare: 2}},
	}
}

func TestResources(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	want := measures.ResourceMetrics{
		Timestamp: at, MemoryUsagePercent: new(25.0), MemoryUsageMB: new(500.0), CPUUsagePercent: new(50.0), DiskUsagePercent: new(75.0),
		ConnectionPoolUtilization: new(0.6), ActiveThreads: new(12.0), RequestQueueSize: new(7.0),
	}
	if got := measures.Resources(full(), "shop", at); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := measures.Resources(&model.State{}, "shop", at); !reflect.DeepEqual(got, measures.ResourceMetrics{Timestamp: at}) {
		t.Errorf("of an unknown app: %+v", got)
	}
}

func TestPerformance(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	want := measures.PerformanceMetrics{
		Timestamp: at, AvgResponseTime: new(0.2), SlowRequestCount: new(7.0), ErrorRate: new(0.01), ThroughputRPS: new(120.0),
		DatabaseQueryTime: new(6.0), CacheHitRate: new(0.6),
	}
	if got := measures.Performance(full(), "shop", at); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := measures.Performance(&model.State{}, "shop", at); !reflect.DeepEqual(got, measures.PerformanceMetrics{Timestamp: at}) {
		t.Errorf("of an unknown app: %+v", got)
	}
}

// The parts of an app are those with its name, and nil for another name.
func TestPartsOfAnApp(t *testing.T) {
	s := full()
	a, m, w, r := measures.App(s, "shop"), measures.Memory(s, "shop"), measures.Workers(s, "shop"), measures.Requests(s, "shop")
	if a != &s.Apps[1] || m != &s.Memory[1] || w != &s.Workers[1] || r != &s.Requests[1] {
		t.Errorf("%p %p %p %p", a, m, w, r)
	}
	if a, m, w, r := measures.App(s, "no"), measures.Memory(s, "no"), measures.Workers(s, "no"), measures.Requests(s, "no"); a != nil || m != nil || w != nil || r != nil {
		t.Errorf("%p %p %p %p", a, m, w, r)
	}
	if got := measures.Listeners(s, "shop"); len(got) != 3 {
		t.Errorf("%d listeners", len(got))
	}
	if got := measures.Listeners(s, "no"); got != nil {
		t.Errorf("%+v", got)
	}
}

// The memory of an app is its proportional size, else its resident size.
func TestAppMemory(t *testing.T) {
	for name, c := range map[string]struct {
		memory []model.AppMemory
		want   *float64
	}{
		"proportional": {[]model.AppMemory{{App: "shop", RSS: new(8.0), PSS: new(5.0)}}, new(5.0)},
		"resident":     {[]model.AppMemory{{App: "shop", RSS: new(8.0)}}, new(8.0)},
		"unknown":      {[]model.AppMemory{{App: "shop"}}, nil},
		"another app":  {[]model.AppMemory{{App: "blog", RSS: new(8.0)}}, nil},
	} {
		if got := measures.AppMemory(&model.State{Memory: c.memory}, "shop"); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A queue of unknown length counts for nothing; without a known length the sum is nil.
func TestQueues(t *testing.T) {
	queue := func(name string, length, fullness *float64) model.Listener {
		return model.Listener{Name: name, Length: length, Fullness: fullness}
	}
	for name, c := range map[string]struct {
		queues           []model.Listener
		fullest, longest string // "": none
		sum              *float64
	}{
		"none":             {nil, "", "", nil},
		"unknown":          {[]model.Listener{queue("a", nil, new(1.0))}, "", "", nil},
		"zero":             {[]model.Listener{queue("a", new(0.0), new(0.0))}, "a", "a", new(0.0)},
		"fuller":           {[]model.Listener{queue("a", new(100.0), new(0.2)), queue("b", new(9.0), new(0.9))}, "b", "a", new(109.0)},
		"equally full":     {[]model.Listener{queue("a", new(1.0), new(0.5)), queue("b", new(2.0), new(0.5))}, "b", "b", new(3.0)},
		"all equal":        {[]model.Listener{queue("a", new(2.0), new(0.5)), queue("b", new(2.0), new(0.5))}, "a", "a", new(4.0)},
		"without a limit":  {[]model.Listener{queue("a", new(9.0), nil), queue("b", new(1.0), new(0.1))}, "b", "a", new(10.0)},
		"one length known": {[]model.Listener{queue("a", nil, new(1.0)), queue("b", new(1.0), nil)}, "b", "b", new(1.0)},
	} {
		nameOf := func(l *model.Listener) string {
			if l == nil {
				return ""
			}
			return l.Name
		}
		if got := nameOf(measures.Fullest(c.queues)); got != c.fullest {
			t.Errorf("%s: fullest %q", name, got)
		}
		if got := nameOf(measures.Longest(c.queues)); got != c.longest {
			t.Errorf("%s: longest %q", name, got)
		}
		s := &model.State{Listeners: []model.AppListeners{{App: "shop", Listeners: c.queues}}}
		if got := measures.QueueLength(s, "shop"); !reflect.DeepEqual(got, c.sum) {
			t.Errorf("%s: sum %v", name, got)
		}
	}
}
