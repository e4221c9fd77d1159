package health

import (
	"math"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// ResourceMetrics is what an app takes of the machine, in the field names of
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
	DatabaseQueryTime *float64  `json:"database_query_time"` // of the longest statement that runs now on a server that it is connected to
	CacheHitRate      *float64  `json:"cache_hit_rate"`      // of 5 minutes; the lowest of the caches that it is connected to
}

// Resources picks what the readings of one gather, made at that moment, say of
// the resources of app.
func Resources(r *model.State, app string, at time.Time) ResourceMetrics {
	return ResourceMetrics{
		Timestamp:                 at,
		MemoryUsagePercent:        times(number(r, "resp_app_memory_usage_ratio", app), 100),
		MemoryUsageMB:             times(AppMemory(r, app), 1e-6),
		CPUUsagePercent:           times(number(r, "resp_app_cpu_usage_ratio", app), 100),
		DiskUsagePercent:          times(highest(r.All("resp_disk_usage_ratio")), 100),
		ConnectionPoolUtilization: utilization(r, app),
		ActiveThreads:             number(r, "resp_app_threads", app),
		RequestQueueSize:          sum(r.With("resp_listener_queue_length", app)),
	}
}

// Performance picks what the readings of one gather, made at that moment, say
// of how app answers.
func Performance(r *model.State, app string, at time.Time) PerformanceMetrics {
	return PerformanceMetrics{
		Timestamp:        at,
		AvgResponseTime:  number(r, "page.http_mean_seconds", app),
		SlowRequestCount: number(r, "page.http_slow_5m", app),
		ErrorRate:        number(r, "page.http_error_ratio", app),
		ThroughputRPS:    number(r, "page.http_rate", app),

		DatabaseQueryTime: longestQuery(r, app),
		CacheHitRate:      hitRate(r, app),
	}
}

// utilization returns that of the fullest pool of an app.
func utilization(s *model.State, app string) *float64 {
	var out *float64
	for i := range s.Pools {
		if p := &s.Pools[i]; p.App == app {
			out = greater(out, p.Utilization)
		}
	}
	return out
}

// longestQuery returns the age of the oldest statement on the MySQL servers to
// which a worker of app has a connection.
func longestQuery(s *model.State, app string) *float64 {
	var out *float64
	for i := range s.MySQL {
		if m := &s.MySQL[i]; isConnected(s, app, "mysql:"+m.Name) {
			out = greater(out, m.LongestQuery)
		}
	}
	return out
}

// hitRate returns the lowest hit rate of the caches to which a worker of app has a
// connection.
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

// isConnected reports whether a worker of app has a connection to a component.
func isConnected(s *model.State, app, component string) bool {
	return slices.ContainsFunc(s.Connections, func(x model.WorkerConnections) bool {
		return x.App == app && x.Component == component && x.Count > 0
	})
}

// AppMemory returns the bytes that app holds: its proportional share where
// the kernel tells it, else what is resident, which counts shared pages once a
// process. It is nil where neither is known.
func AppMemory(r *model.State, app string) *float64 {
	if v := number(r, "resp_app_memory_bytes", app, "pss"); v != nil {
		return v
	}
	return number(r, "resp_app_memory_bytes", app, "rss")
}

// number is a value that is there and finite, or nil: JSON has no word for
// the others.
func number(r *model.State, name string, labels ...string) *float64 {
	v, ok := r.Get(name, labels...)
	if !ok {
		return nil
	}
	return known(v)
}

// known is v, or nil where it is no finite number.
func known(v float64) *float64 {
	if !finite(v) {
		return nil
	}
	return &v
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func times(v *float64, by float64) *float64 {
	if v == nil {
		return nil
	}
	x := *v * by
	return &x
}

// greater returns the greater of two numbers; one that is not known is none.
func greater(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func highest(rs []model.Reading) *float64 {
	var out *float64
	for _, x := range rs {
		if v := x.Value; finite(v) && (out == nil || v > *out) {
			out = &v
		}
	}
	return out
}

func sum(rs []model.Reading) *float64 {
	var out *float64
	for _, x := range rs {
		if !finite(x.Value) {
			continue
		}
		if out == nil {
			out = new(float64)
		}
		*out += x.Value
	}
	return out
}
