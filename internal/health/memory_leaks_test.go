package health_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model/modeltest"
)

// leak evaluates an app of which worker 1 leaks memory, and reaches the limit in toLimit
// seconds.
func leak(toLimit, use float64, more ...modeltest.Fact) health.Evaluation {
	return newTrial().look(0, append(append(more, appOf("shop", 0, "idle", "idle")...),
		fact("resp_app_memory_usage_ratio", use, "shop"), fact("resp_app_memory_limit_bytes", 512e6, "shop"),
		fact("resp_leak_suspected", 0, "shop", "0"), fact("resp_leak_suspected", 1, "shop", "1"),
		fact("resp_leak_slope_bytes_per_second", 1000, "shop", "1"), fact("resp_leak_bytes_per_request", 500, "shop", "1"),
		fact("resp_leak_seconds_to_limit", toLimit, "shop", "1"))...)
}

// leaks returns states of an app that leaks memory, for their sentences.
func leaks() map[string]health.Evaluation {
	view := fact("resp_leak_view_growth_bytes_per_second", 900, "shop", "checkout")
	list := func(slot string) modeltest.Fact {
		return fact("page.leak_heap", 500e3, "shop", slot, "grows", "shop.cache", "list", "Order", "2000")
	}
	return map[string]health.Evaluation{
		"alone":                        leak(3600, .5),
		"a view":                       leak(3600, .5, view),
		"a list":                       leak(3600, .5, list("1")),
		"a list, and a view":           leak(3600, .5, list("1"), view),
		"a list of another worker":     leak(3600, .5, list("0")),
		"not the counted":              leak(3600, .5, fact("page.leak_heap", 0, "shop", "1", "not_python")),
		"not the counted, and a view":  leak(3600, .5, fact("page.leak_heap", 0, "shop", "1", "not_python"), view),
		"not the counted, another one": leak(3600, .5, fact("page.leak_heap", 0, "shop", "0", "not_python")),
	}
}

// TestMemoryLeak: a leak that fills the memory within a day is a warning with the worker
// that leaks; a slower one is none, but is named where the memory is short anyway.
func TestMemoryLeak(t *testing.T) {
	for name, c := range map[string]struct {
		toLimit, use float64
		level        health.Level
		named        bool
	}{
		"near":          {3600, .5, health.Warning, true},
		"far":           {200000, .5, health.Healthy, false},
		"far and short": {200000, .93, health.Critical, true},
	} {
		e := leak(c.toLimit, c.use)
		byView := leak(c.toLimit, c.use, fact("resp_leak_view_growth_bytes_per_second", 900, "shop", "checkout"), fact("resp_leak_view_growth_bytes_per_second", 90, "blog", "list"))
		if told := strings.Contains(strings.Join(byView.Recommendations(), "\n"), "checkout"); told != c.named {
			t.Errorf("%s: the view is told: %v: %q", name, told, byView.Recommendations())
		}
		byHeap := leak(c.toLimit, c.use, fact("page.leak_heap", 0, "shop", "1", "not_python"))
		if told := strings.Contains(strings.Join(byHeap.Recommendations(), "\n"), "C extension"); told != c.named {
			t.Errorf("%s: the heap is told: %v: %q", name, told, byHeap.Recommendations())
		}
		level, named := e.Of("shop").Components["memory"], false
		for _, a := range e.Advice() {
			named = named || strings.HasSuffix(a.Cause, "/memory_leak/worker:1")
		}
		if level != c.level || named != c.named {
			t.Errorf("%s: level %v, named %v: %+v", name, level, named, e)
		}
	}
}

// The census of a worker counts for the worker whose memory grows fastest: another worker's
// is named as such.
func TestMemoryLeakOfAnotherWorker(t *testing.T) {
	for name, c := range map[string]struct {
		e     health.Evaluation
		other bool
	}{"the same": {leaks()["a list"], false}, "another": {leaks()["a list of another worker"], true}} {
		told := strings.Join(c.e.Recommendations(), "\n")
		if !strings.Contains(told, "shop.cache") || strings.Contains(told, "worker 0") != c.other {
			t.Errorf("%s: %q", name, told)
		}
	}
}
