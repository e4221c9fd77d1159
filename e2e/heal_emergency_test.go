package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// emergency is a rule for memory that begins with what does the least harm, as docs/healing.md has it.
var emergency = []string{
	"        - {action: collect_garbage, with: {stagger: 1s, min_freed: 0.2}, verify_within: 15s}",
	"        - {action: throttle, with: {percent: 50, component: memory, ttl: 30s, ramp: 1s}, verify_within: 40s}",
	"        - action: recycle_worker",
	"          with: {pick: largest, min_age: 5s, import_check: [/usr/bin/python3, -B, -c, \"import sys; sys.path[:0] = ['LIB']; import MODULE\"]}",
	"          verify_within: 40s",
	"        - {action: escalate}",
}

// startEmergency starts an app whose control group may take 300 MiB, with the shipped rules
// in Prometheus, and lets one worker keep so much that its memory is critical.
func startEmergency(t *testing.T, alone bool) *asked {
	t.Helper()
	group := memoryGroup(t, 300<<20)
	a := startAskedAs(t, askedAs{
		control: filepath.Join(openDir(t), "run", "control"),
		source:  "shop/asked.py", alert: "RespAppMemoryHigh", warning: "0.6", critical: "0.7", cooldown: "40s", alone: alone,
		wrap: []string{"/bin/sh", "-c", "echo $$ > " + group + `/cgroup.procs && exec "$@"`, "sh"},
	}, emergency...)
	a.alerting(t)
	eventually(t, 60*time.Second, func() error {
		for range 10 {
			a.shop.get("/")
		}
		files := 0
		for _, pid := range a.scrape(t).pids("shop") {
			files += min(len(memoryFiles(pid)), 1)
		}
		return all(wants("workers that report themselves", files, 2), wants("the memory is unhealthy", a.unhealthy(t), false))
	})
	if status := a.shop.get("/keep/150"); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	return a
}

// steps returns the steps of a run that came before the last one, with their results.
func (s *step) steps() string {
	var out []string
	for _, b := range s.Before {
		out = append(out, b.Action+" "+b.Result)
	}
	return strings.Join(out, ", ")
}

// recycledFor waits until a run has recycled the worker that keeps the memory, and the app is healthy.
func (a *asked) recycledFor(t *testing.T, before string) {
	t.Helper()
	var last step
	eventually(t, 3*time.Minute, func() error {
		list := a.list(t, "sick")
		if len(list) == 0 {
			return fmt.Errorf("no run")
		}
		last = list[0]
		return wants("the last run", last.Action+" "+last.State+" "+last.steps(), "recycle_worker verified "+before)
	})
	eventually(t, 60*time.Second, func() error { return a.scrape(t).want(0, "resp_health_status", "app=shop", "component=memory") })
}

// TestMemoryEmergency checks the whole ladder for memory. Nothing can be collected, so the
// app sheds half of its requests, but no health check; the memory stays critical, so the
// next run recycles the worker that keeps it, and all requests are served again. The next
// run comes minutes later, when the alert is no duplicate any more: what follows from it is
// checked behind all other tests in the queue.
func TestMemoryEmergency(t *testing.T) {
	t.Parallel()
	a := startEmergency(t, false)
	eventually(t, 30*time.Second, func() error { return a.scrape(t).want(2, "resp_health_status", "app=shop", "component=memory") })
	last := a.becomes(t, 2*time.Minute, "sick", "verified")
	if last.Action != "throttle" || last.steps() != "collect_garbage failed" {
		t.Fatalf("%+v", last)
	}
	eventually(t, 20*time.Second, func() error { return a.scrape(t).want(0.5, "resp_heal_throttle_ratio", "app=shop") })
	eventually(t, 20*time.Second, func() error { // until each worker has read it
		if share := a.shed("/", 400); share < 0.45 || share > 0.55 {
			return fmt.Errorf("%.0f %% of the requests were shed, want 50", 100*share)
		}
		return nil
	})
	if share := a.shed("/healthz", 50); share > 0 {
		t.Errorf("%.0f %% of the health checks were shed", 100*share)
	}
	t.Run("next run", func(t *testing.T) {
		t.Parallel()
		a.recycledFor(t, "collect_garbage failed, throttle unavailable")
		eventually(t, 60*time.Second, func() error {
			_, throttled := a.scrape(t).sum("resp_heal_throttle_ratio", "app=shop")
			_, err := os.Stat(a.file)
			return all(wants("throttled", throttled, false), wants("the control file is gone", os.IsNotExist(err), true))
		})
		eventually(t, 10*time.Second, func() error { // until each worker has noticed it
			if share := a.shed("/", 100); share > 0 {
				return fmt.Errorf("%.0f %% of the requests were shed afterwards", 100*share)
			}
			return nil
		})
	})
}

// TestMemoryEmergencyAlone checks that for an app that follows no control file the first two
// steps are unavailable, and the third one helps.
func TestMemoryEmergencyAlone(t *testing.T) {
	t.Parallel()
	a := startEmergency(t, true)
	a.recycledFor(t, "collect_garbage unavailable, throttle unavailable")
}
