package e2e_test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoShedding runs the faults of the demo during which the shop sheds requests. Under
// overload those of high priority are served, and the rest in time. In the memory emergency
// each step of the ladder comes after the one before it did not help. Afterwards all
// requests are served.
func TestDemoShedding(t *testing.T) {
	t.Parallel()
	d := startDemo(t, buildDemo(t), "DEMO_FAULTS=overload,emergency")
	d.waitFor(t, "Ctrl-C ends it.")
	eventually(t, 8*time.Minute, func() error {
		if err := d.Err(); err != nil {
			t.Fatalf("%v\n%s", err, d.Output(1<<16))
		}
		return wants("the story is over", strings.Contains(d.Output(1<<16), "The shop goes on."), true)
	})
	said := d.Output(1 << 16)
	t.Logf("the demo said:\n%s", d.Output(4000))
	d.healed(t, map[string]string{"RespQueueTimeHigh": "throttle", "RespAppMemoryHigh": "recycle_worker"})
	d.crowded(t)
	_, ladder, _ := strings.Cut(said, ": a memory emergency\n")
	for _, step := range []string{
		"alert +RespAppMemoryHigh: ", "failed +collect_garbage: ", "action +throttle: ", "verified +throttle: ",
		"failed +collect_garbage: ", "unavailable +throttle: ", "action +recycle_worker: ", "verified +looked at again", "released +",
	} {
		at := regexp.MustCompile(step).FindStringIndex(ladder)
		if at == nil {
			t.Fatalf("no %q, or not in this order:\n%s", step, said)
		}
		ladder = ladder[at[1]:]
	}
	x := &exporter{url: d.address(t, `(http://127\.0\.0\.1:\d+)/ +the status page`), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}}
	t.Cleanup(x.client.CloseIdleConnections)
	m := x.scrape(t)
	_, throttled := m.sum("resp_heal_throttle_ratio", "app=shop")
	low, _ := m.sum("resp_http_requests_shed_total", "app=shop", "priority=low")
	if throttled || low == 0 {
		t.Errorf("throttled: %t; shed of low priority: %g", throttled, low)
	}
	if _, past, err := x.get("/api/v1/incidents"); err != nil || !strings.Contains(past, `"app": "shop"`) && !strings.Contains(past, `"app":"shop"`) || strings.Contains(past, "error_rate") {
		t.Errorf("requests that were shed are shown as failed: %v\n%s", err, past)
	}
	if err := d.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	d.ends(t)
}

// crowded checks what the demo says of the requests of its crowd.
func (d *runningDemo) crowded(t *testing.T) {
	t.Helper()
	said := d.Output(1 << 16)
	m := regexp.MustCompile(`crowd +served (\d+) % of high, (\d+) % of normal, (\d+) % of low, 95 % of them within (\S+) s`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("nothing of the crowd:\n%s", said)
	}
	var v [4]float64
	for i, text := range m[1:] {
		var err error
		if v[i], err = strconv.ParseFloat(text, 64); err != nil {
			t.Fatal(err)
		}
	}
	high, normal, low, within := v[0], v[1], v[2], v[3]
	if high < 90 || normal >= high || low >= normal || within > scaled(6*time.Second).Seconds() {
		t.Errorf("%s", m[0])
	}
}
