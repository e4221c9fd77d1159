package web

import (
	"bytes"
	"net/http"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/web/runbooks"
)

// runbooksPath is where the runbooks are, below the route prefix.
const runbooksPath = "/runbooks"

// runbooksUpTo is how many links to runbooks stand below the advice.
const runbooksUpTo = 5

func (w *Web) serveRunbooks(rw http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	view := struct {
		*runbooks.Page

		Host, Version string
	}{w.books, w.opts.Host, w.opts.Version}
	if err := w.page.ExecuteTemplate(&b, "runbooks", view); err != nil {
		w.fail(rw, "render the runbooks", err)
		return
	}
	w.write(rw, "text/html; charset=utf-8", b.Bytes())
}

// runbookLink is a link to the section of an alert.
type runbookLink struct{ Alert, Anchor string }

// runbooksOf returns the sections about what is wrong now, the worst first.
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

// alertOf returns the alert of the shipped rules that is about the same as a rule of the
// exporter's own health; "" where there is none.
func alertOf(about health.Subject) string {
	switch about.Rule {
	case "app_down":
		return "RespAppDown"
	case "workers":
		return "RespWorkersStuck"
	case "request_queue":
		return "RespQueueFull"
	case "error_rate":
		return "RespErrorRateHigh"
	case "response_time":
		return "RespResponseTimeHigh"
	case "memory":
		if about.App == "" {
			return "RespHostMemoryHigh"
		}
		return "RespAppMemoryHigh"
	case "cpu":
		return "RespHostCPUSaturated"
	case "disk":
		return "RespDiskFull"
	case "pool":
		return "RespPoolNearlyExhausted"
	case "pool_leak":
		return "RespPoolLeak"
	case "mysql":
		return "RespMySQLDown"
	case "connections":
		return "RespMySQLConnectionsHigh"
	case "query_time":
		return "RespQueryTooLong"
	case "redis":
		return "RespRedisDown"
	case "cache_hit_rate":
		return "RespCacheHitRateLow"
	case "sessions":
		return "RespSessionsWithoutExpiry"
	case "task_age":
		return "RespTasksWaiting"
	case "task_workers":
		return "RespTaskWorkersMissing"
	case "task_orphaned":
		return "RespTasksOrphaned"
	}
	return ""
}
