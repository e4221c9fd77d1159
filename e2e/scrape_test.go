package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

func TestScrapeChoosesCollectors(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for _, query := range []string{"?collect[]=nonsense", "?exclude[]=nonsense"} {
		status, body, err := x.get("/metrics" + query)
		if err != nil || status != http.StatusBadRequest || !strings.Contains(body, "nonsense") {
			t.Errorf("%s: status %d, %v, body %q; want 400 and the name", query, status, err, body)
		}
	}
	names := func(m metrics) (names []string) {
		m.each("resp_scrape_collector_success", nil, func(labels map[string]string, _ float64) {
			names = append(names, labels["collector"])
		})
		return names
	}
	every := names(x.scrape(t))
	if len(every) < 5 {
		t.Fatalf("collectors are %v, want five or more", every)
	}
	if one := names(x.scrape(t, "?collect[]=host")); len(one) != 1 || one[0] != "host" {
		t.Errorf("collect[]=host ran %v", one)
	}
	if rest := names(x.scrape(t, "?exclude[]=host")); len(rest) != len(every)-1 {
		t.Errorf("exclude[]=host ran %v of %v", rest, every)
	}
}

func TestScrapeFlagsOfCollectors(t *testing.T) {
	t.Parallel()
	x := watch(t, export{args: []string{"--no-collector.host"}})
	m := x.scrape(t)
	if err := m.has("resp_host_memory_usage_ratio"); err == nil {
		t.Error("--no-collector.host and yet the host's memory")
	}
	x = watch(t, export{args: []string{"--collector.disable-defaults", "--collector.host"}})
	m = x.scrape(t)
	if err := m.has("resp_host_memory_usage_ratio"); err != nil {
		t.Error(err)
	}
	if err := m.has("resp_disk_usage_ratio"); err == nil {
		t.Error("--collector.disable-defaults and yet the disks")
	}
}

// TestScrapeTimeoutHeader checks that the answer is in time and complete for every form of
// the timeout header.
func TestScrapeTimeoutHeader(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for _, header := range []string{"1", "0.5", "0.001", "-3", "NaN", "soon", "1e99"} {
		began := time.Now()
		status, body, err := x.get("/metrics", "X-Prometheus-Scrape-Timeout-Seconds", header)
		if err != nil || status != http.StatusOK || !strings.Contains(body, "resp_scrape_collector_duration_seconds") {
			t.Errorf("timeout %q: status %d, %v", header, status, err)
		}
		if took := time.Since(began); took > scaled(3*time.Second) {
			t.Errorf("timeout %q: answered after %s", header, took)
		}
	}
}

// TestScrapeMaxRequests checks that more concurrent scrapes than allowed are refused, and
// that the others are complete.
func TestScrapeMaxRequests(t *testing.T) {
	t.Parallel()
	x := watch(t, export{args: []string{"--web.max-requests=1"}})
	eventually(t, 20*time.Second, func() error {
		statuses := make([]int, 32)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() { statuses[i], _, _ = x.get("/metrics") })
		}
		wg.Wait()
		count := map[int]int{}
		for _, s := range statuses {
			count[s]++
		}
		if count[http.StatusOK]+count[http.StatusServiceUnavailable] != len(statuses) {
			t.Fatalf("statuses are %v, want only 200 and 503", count)
		}
		if count[http.StatusOK] == 0 || count[http.StatusServiceUnavailable] == 0 {
			return fmt.Errorf("statuses are %v, want both 200 and 503", count)
		}
		return nil
	})
}

func TestScrapeFormats(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	_, body, err := x.get("/metrics", "Accept", "application/openmetrics-text;version=1.0.0")
	if err != nil || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("OpenMetrics was asked for: %v, ends in %.80q", err, body[max(0, len(body)-80):])
	}
	for _, path := range []string{"/-/healthy", "/-/ready", "/", "/api/v1/status"} {
		if status, _, err := x.get(path); err != nil || status != http.StatusOK {
			t.Errorf("%s: status %d, %v", path, status, err)
		}
	}
}

// public copies the exporter's binary to where every user may run it.
func public(t *testing.T) (dir, path string) {
	t.Helper()
	needRoot(t)
	need(t, "setpriv")
	dir = openDir(t)
	code, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "resp-exporter")
	if err := actiontest.WriteProgram(path, code, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

var nobody = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}

// TestScrapeAsAnotherUser checks that an exporter without rights reports what it can read,
// and the reason for the rest.
func TestScrapeAsAnotherUser(t *testing.T) {
	t.Parallel()
	dir, path := public(t)
	x := watch(t, export{binary: path, dir: dir, wrap: nobody})
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		errs := []error{
			m.want(1, "resp_up", "component=app:"+a.name),
			m.slots(a.name, 2),
			m.has("resp_app_cpu_seconds_total", "app="+a.name),
			m.has("resp_app_threads", "app="+a.name),
			m.has("resp_worker_start_time_seconds", "app="+a.name),
			m.has("resp_worker_memory_bytes", "app="+a.name, "kind=rss"),
			m.has("resp_host_memory_usage_ratio"),
		}
		for _, collector := range []string{"process", "memory", "workers", "listener"} {
			errs = append(errs, m.want(0, "resp_collector_available", "reason=permission", "collector="+collector))
		}
		return all(errs...)
	})
	// What it may not read is absent, never 0. So is the app's rss: a sum would
	// count what the workers share again and again.
	m := x.scrape(t)
	for _, name := range []string{"resp_app_memory_bytes", "resp_app_workers", "resp_app_open_fds", "resp_worker_heartbeat_age_seconds"} {
		if err := m.has(name, "app="+a.name); err == nil {
			t.Errorf("%s of another user's app is known without the right to read it", name)
		}
	}
	// Where it listens is known from its command line until its title is seen.
	eventually(t, 60*time.Second, func() error {
		if x.scrape(t).has("resp_listener_queue_length", "app="+a.name) == nil {
			return errors.New("the accept queue of another user's app is known without the right to read it")
		}
		return nil
	})
}

// TestScrapeWithTwoCapabilities checks that the two capabilities of the unit suffice to
// read all about an app of another user.
func TestScrapeWithTwoCapabilities(t *testing.T) {
	t.Parallel()
	dir, path := public(t)
	caps := "+sys_ptrace,+dac_read_search"
	x := watch(t, export{
		binary: path, dir: dir, wrap: append(slices.Clone(nobody), "--inh-caps="+caps, "--ambient-caps="+caps, "--no-new-privs"),
		statsd: fmt.Sprintf("statsd: {listen: [\"udp://127.0.0.1:%d\"]}\n", freeUDPPort(t)),
	})
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(
			seen(m, a, "gunicorn", 2),
			m.has("resp_app_memory_bytes", "app="+a.name, "kind=pss"),
			m.has("resp_worker_heartbeat_age_seconds", "app="+a.name),
			m.want(2, "resp_app_workers", "app="+a.name, "state=idle"),
		)
	})
}
