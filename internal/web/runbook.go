package web

import "github.com/resp-exporter/resp-exporter/internal/health"

// runbooksPath is where the runbooks are, below the route prefix.
const runbooksPath = "/runbooks"

// runbooksUpTo is how many links to runbooks stand below the advice.
const runbooksUpTo = 5

// runbookLink is a link to the section of an alert.
type runbookLink struct{ Alert, Anchor string }

// runbooksOf returns links to the runbooks about what is wrong now, the worst first, each
// once, at most runbooksUpTo.
func (w *Web) runbooksOf(s *pageState) []runbookLink {
	var out []runbookLink
	seen := make(map[string]bool)
	for _, f := range s.health.Findings() {
		alert := alertOf(f.Subject)
		anchor := w.books.Anchor(alert)
		if anchor == "" || seen[anchor] || len(out) == runbooksUpTo {
			continue
		}
		seen[anchor] = true
		out = append(out, runbookLink{alert, anchor})
	}
	return out
}

// alertOf returns the name of the shipped alert about the same thing as a rule of the
// exporter's health; "" if there is none.
func alertOf(about health.Subject) string {
	if about.Rule == "memory" && about.App == "" {
		return "RespHostMemoryHigh"
	}
	return map[string]string{
		"app_down": "RespAppDown", "workers": "RespWorkersStuck", "request_queue": "RespQueueFull", "error_rate": "RespErrorRateHigh", "response_time": "RespResponseTimeHigh",
		"memory": "RespAppMemoryHigh", "cpu": "RespHostCPUSaturated", "disk": "RespDiskFull", "pool": "RespPoolNearlyExhausted", "pool_leak": "RespPoolLeak",
		"mysql": "RespMySQLDown", "connections": "RespMySQLConnectionsHigh", "query_time": "RespQueryTooLong", "redis": "RespRedisDown", "cache_hit_rate": "RespCacheHitRateLow",
		"sessions": "RespSessionsWithoutExpiry", "task_age": "RespTasksWaiting", "task_workers": "RespTaskWorkersMissing", "task_orphaned": "RespTasksOrphaned",
	}[about.Rule]
}
