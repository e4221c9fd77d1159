package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
)

// TestAttackMemoryFiles checks that memory files of another user that lie, that are
// shortened or written while they are read, or that claim to be of another app's worker,
// change nothing of that app, block nothing, and are bounded and counted.
func TestAttackMemoryFiles(t *testing.T) {
	t.Parallel()
	needRoot(t)
	x := watch(t, export{config: "monitoring_interval: 1s\n"})
	victim := servePool(t, x, unique("victim"), "sqlite:///"+filepath.Join(openDir(t), "db"))
	// A true worker that is older than the false one.
	truth := func(m metrics) error {
		app := "app=" + victim.name
		return all(
			m.want(1, "resp_pool_info", app), m.want(1, "resp_pool_info", app, "pool=main", "source=inside"), m.want(10, "resp_pool_capacity", app),
			m.want(0, "resp_pool_connections", app, "state=leaked"), m.want(0, "resp_http_requests_killed_total", app),
		)
	}
	eventually(t, 40*time.Second, func() error {
		for range 20 {
			victim.get("/good")
		}
		return truth(x.scrape(t))
	})
	before := x.kept(t)

	source, err := filepath.Abs("attack/memory.py")
	if err != nil {
		t.Fatal(err)
	}
	evil := serve(t, launch{
		server: "gunicorn", source: source, args: []string{"-w", "8"}, wrap: attackAs(attacker),
		env: []string{"TURNS=" + attackerDir(t), "VICTIM=" + strconv.Itoa(victim.PID()), "PYTHONDONTWRITEBYTECODE=1"},
	})
	claims := attack(t, "claims", python, "-B", source, victim.name)
	eventually(t, 20*time.Second, func() error {
		if !strings.Contains(claims.Output(1000), "ready") {
			return fmt.Errorf("the false worker has not begun")
		}
		return nil
	})
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		invalid, _ := m.sum("resp_series_dropped_total", "family=memory_file_slot")
		pools, _ := m.sum("resp_series_dropped_total", "family=reported_pool")
		if invalid < 64 || pools < 1 {
			return fmt.Errorf("%v invalid slots, %v pools over the limit", invalid, pools)
		}
		return nil
	})
	repeat(t, 10, 500*time.Millisecond, func() error {
		return all(x.answersWithin(5*time.Second), truth(x.scrape(t)), x.soundLabels(t), x.boundedPools(t, evil.name))
	})
	if code, _, err := x.get("/api/v1/status"); code != http.StatusOK || err != nil {
		t.Errorf("status %d, %v", code, err)
	}
	peak, err := peakMemory(x.PID())
	if err != nil || peak > 400<<20 {
		t.Errorf("the exporter took %d MB, %v", peak>>20, err)
	}
	// Their claims of requests in progress count for themselves at most.
	for _, pid := range evil.workers(t) {
		signals(t, pid, syscall.SIGKILL)
	}
	signals(t, claims.PID(), syscall.SIGKILL)
	eventually(t, 60*time.Second, func() error {
		n, _ := x.scrape(t).sum("resp_worker_restarts_total", "app="+evil.name)
		if n < 7 {
			return fmt.Errorf("%v restarts of the attacker's workers", n)
		}
		return nil
	})
	passes(t, 8*time.Second, "the ends of workers are counted after some seconds")
	if err := all(truth(x.scrape(t)), x.soundLabels(t)); err != nil {
		t.Error(err)
	}
	signals(t, evil.PID(), syscall.SIGTERM)
	eventually(t, 60*time.Second, func() error { return x.keptMore(t, before, map[string]float64{"goroutines": 4, "descriptors": 4}) })
}

// soundLabels returns an error if a label has a control character, or is longer than any
// may be.
func (x *exporter) soundLabels(t *testing.T) error {
	t.Helper()
	for name, family := range x.scrape(t) {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if v := l.GetValue(); len(v) > 1024 || strings.ContainsFunc(v, unicode.IsControl) {
					return fmt.Errorf("%s has the label %s=%q", name, l.GetName(), v)
				}
			}
		}
	}
	return nil
}

// boundedPools returns an error unless an app has at most 16 pools, and each number of them
// is one that the bounds of all its workers allow.
func (x *exporter) boundedPools(t *testing.T, app string) error {
	t.Helper()
	m := x.scrape(t)
	n, _ := m.sum("resp_pool_info", "app="+app)
	most, _ := m.sum("resp_pool_connections", "app="+app)
	if n == 0 || n > 16 || most > 16*8*4*3*(1<<20) {
		return fmt.Errorf("%v pools with %v connections", n, most)
	}
	return nil
}

// workers returns the child processes of an app's master.
func (a *app) workers(t *testing.T) (pids []int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", a.PID(), a.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for s := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}
