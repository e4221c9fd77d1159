// Package measures reads the numbers of one app from a gathered state.
package measures

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// ResourceMetrics is the resources that an app uses, in the field names of
// /api/v1/status. Fields that end in percent are 0 to 100; a pool's
// utilization is a ratio, 0 to 1, as its threshold is. What is not known is
// nil, which JSON writes as null, and never 0.
type ResourceMetrics struct {
	Timestamp                 time.Time `json:"timestamp"`
	MemoryUsagePercent        *float64  `json:"memory_usage_percent"`
	MemoryUsageMB             *float64  `json:"memory_usage_mb"` // 1 MB is 1,000,000 bytes
	CPUUsagePercent           *float64  `json:"cpu_usage_percent"`
	DiskUsagePercent          *float64  `json:"disk_usage_percent"` // the fullest file system
	ConnectionPoolUtilization *float64  `json:"connection_pool_utilization"`
	ActiveThreads             *float64  `json:"active_threads"`
	RequestQueueSize          *float64  `json:"request_queue_size"` // connections that wait for accept()
}

// PerformanceMetrics is how an app answers, in the field names of
// /api/v1/status. Times are seconds, rates of errors and hits are ratios, 0 to
// 1, as their thresholds are. What is not known is nil.
type PerformanceMetrics struct {
	Timestamp         time.Time `json:"timestamp"`
	AvgResponseTime   *float64  `json:"avg_response_time"`  // mean over 5 minutes
	SlowRequestCount  *float64  `json:"slow_request_count"` // in the last 5 minutes
	ErrorRate         *float64  `json:"error_rate"`         // 5xx of all
	ThroughputRPS     *float64  `json:"throughput_rps"`
	DatabaseQueryTime *float64  `json:"database_query_time"` // age of the oldest running statement on the servers that it is connected to
	CacheHitRate      *float64  `json:"cache_hit_rate"`      // of 5 minutes; the lowest of the caches that it is connected to
}

// Resources returns how much of its resources an app uses, by the state of a gather at
// that time. What is not known is nil.
func Resources(s *model.State, app string, at time.Time) ResourceMetrics {
	out := ResourceMetrics{
		Timestamp: at, MemoryUsageMB: times(AppMemory(s, app), 1e-6), DiskUsagePercent: times(fullestDisk(s), 100),
		ConnectionPoolUtilization: utilization(s, app), RequestQueueSize: QueueLength(s, app),
	}
	if m := Memory(s, app); m != nil {
		out.MemoryUsagePercent = times(m.Usage, 100)
	}
	if a := App(s, app); a != nil {
		out.CPUUsagePercent, out.ActiveThreads = times(a.CPU, 100), a.Threads
	}
	return out
}

// Performance returns how an app performs, by the state of a gather at that time. What is
// not known is nil.
func Performance(s *model.State, app string, at time.Time) PerformanceMetrics {
	out := PerformanceMetrics{Timestamp: at, DatabaseQueryTime: longestQuery(s, app), CacheHitRate: hitRate(s, app)}
	if r := Requests(s, app); r != nil {
		out.AvgResponseTime, out.SlowRequestCount, out.ErrorRate, out.ThroughputRPS = r.Mean, r.Slow5m, r.ErrorRatio, r.Rate
	}
	return out
}

// App returns an app; nil if its processes were not read.
func App(s *model.State, app string) *model.App {
	i := slices.IndexFunc(s.Apps, func(a model.App) bool { return a.Name == app })
	if i < 0 {
		return nil
	}
	return &s.Apps[i]
}

// Memory returns the memory of an app; nil if it is not known.
func Memory(s *model.State, app string) *model.AppMemory {
	i := slices.IndexFunc(s.Memory, func(m model.AppMemory) bool { return m.App == app })
	if i < 0 {
		return nil
	}
	return &s.Memory[i]
}

// Workers returns the workers of an app; nil if they are not known.
func Workers(s *model.State, app string) *model.AppWorkers {
	i := slices.IndexFunc(s.Workers, func(w model.AppWorkers) bool { return w.App == app })
	if i < 0 {
		return nil
	}
	return &s.Workers[i]
}

// Requests returns the requests of an app; nil if none are reported.
func Requests(s *model.State, app string) *model.AppRequests {
	i := slices.IndexFunc(s.Requests, func(r model.AppRequests) bool { return r.App == app })
	if i < 0 {
		return nil
	}
	return &s.Requests[i]
}

// Waits returns how much the request threads of an app are used; nil if it is not known.
func Waits(s *model.State, app string) *model.AppWaits {
	i := slices.IndexFunc(s.Waits, func(w model.AppWaits) bool { return w.App == app })
	if i < 0 {
		return nil
	}
	return &s.Waits[i]
}

// IsConnected reports whether a worker of app has a connection to a component such as
// "mysql:main"; false also if its connections are not known.
func IsConnected(s *model.State, app, component string) bool { return isConnected(s, app, component) }

// fullestDisk returns the usage of the fullest file system, from 0 to 1; nil if none is
// known.
func fullestDisk(s *model.State) *float64 {
	var out *float64
	for i := range s.Disks {
		out = greater(out, &s.Disks[i].Usage)
	}
	return out
}

// utilization returns the highest utilization of an app's pools, from 0 to 1; nil if none
// is known.
func utilization(s *model.State, app string) *float64 {
	var out *float64
	for i := range s.Pools {
		if p := &s.Pools[i]; p.App == app {
			out = greater(out, p.Utilization)
		}
	}
	return out
}

// longestQuery returns the age in seconds of the oldest statement on the MySQL servers to
// which a worker of app has a connection; nil if that is not known.
func longestQuery(s *model.State, app string) *float64 {
	var out *float64
	for i := range s.MySQL {
		if m := &s.MySQL[i]; isConnected(s, app, "mysql:"+m.Name) {
			out = greater(out, m.LongestQuery)
		}
	}
	return out
}

// hitRate returns the lowest hit rate of the Redis caches to which a worker of app has a
// connection, from 0 to 1; nil if none is known.
func hitRate(s *model.State, app string) *float64 {
	var out *float64
	for i := range s.Redis {
		x := &s.Redis[i]
		if v := x.HitRatio; v != nil && !x.Stateful && (out == nil || *v < *out) && isConnected(s, app, "redis:"+x.Name) {
			out = v
		}
	}
	return out
}

// isConnected reports whether a worker of app has a connection to a component such as
// "mysql:main"; false also if its connections are not known.
func isConnected(s *model.State, app, component string) bool {
	return slices.ContainsFunc(s.Connections, func(x model.WorkerConnections) bool {
		return x.App == app && x.Component == component && x.Count > 0
	})
}

// AppMemory returns the bytes of memory of an app: its PSS if that is known, else its
// RSS, which counts shared pages once a process; nil if neither is known.
func AppMemory(s *model.State, app string) *float64 {
	m := Memory(s, app)
	if m == nil {
		return nil
	}
	if m.PSS != nil {
		return m.PSS
	}
	return m.RSS
}

// times returns the product, nil for nil.
func times(v *float64, by float64) *float64 {
	if v == nil {
		return nil
	}
	x := *v * by
	return &x
}

// greater returns the greater of two numbers; the known one if the other is nil.
func greater(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
