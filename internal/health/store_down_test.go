package health_test

import (
	"slices"
	"strings"
	"testing"
)

// If workers wait for a store that is down, the advice has the store, once for all of them,
// and never says to end a worker.
func TestAdviceOfStoreThatIsDown(t *testing.T) {
	for _, kind := range []string{"mysql", "redis"} {
		x := newTrial()
		x.in.MySQL, x.in.Redis = []string{"main"}, []string{"main"}
		if kind == "mysql" {
			x.in.Redis = nil
		} else {
			x.in.MySQL = nil
		}
		rs := append(appOf("shop", 9, "stuck", "stuck", "stuck"), fact("resp_up", 0, kind+":main"))
		for _, slot := range []string{"0", "1", "2"} {
			rs = append(rs, waiting(slot, kind, kind+":main"))
		}
		got := x.look(0, rs...).Recommendations()
		ends := slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "kill -") })
		if len(got) != 1 || ends {
			t.Errorf("%s: %d lines, one ends a worker: %v: %q", kind, len(got), ends, got)
		}
	}
}
