package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// controlRights are the rights of docs/redis.md for healing.control, in addition to redisRights.
	controlRights = "+eval +getrange +set +del ~resp:control:*"
	// readerRights are those of an app.
	readerRights = "+getrange ~resp:control:shop"
)

// shedBy sends requests to an app and returns the share that was answered with 503.
func shedBy(a *app, n int) float64 {
	shed := 0
	for range n {
		if a.get("/") == http.StatusServiceUnavailable {
			shed++
		}
	}
	return float64(shed) / float64(n)
}

// TestThrottleOnOtherHosts checks that the same app on another host, which has no control
// file of this exporter, sheds the share that the exporter asks of its own, through a Redis;
// and that it serves all again within 6 s after the exporter or the Redis was killed.
func TestThrottleOnOtherHosts(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis.md")
	if err != nil || !strings.Contains(string(page), controlRights) || !strings.Contains(string(page), readerRights) {
		t.Errorf("docs/redis.md does not give %s and %s, %v", controlRights, readerRights, err)
	}
	for _, victim := range []string{"exporter", "redis"} {
		t.Run(victim, func(t *testing.T) {
			t.Parallel()
			r := startRedis(t)
			r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(controlRights)...)...)
			r.cli("ACL", append([]string{"SETUSER", "shop", "reset", "on", ">reader"}, strings.Fields(readerRights)...)...)
			key := write(t, filepath.Join(openDir(t), "key"), "0123456789abcdef\n")
			a := startAskedAs(t, askedAs{
				source: "shop/asked.py", control: filepath.Join(openDir(t), "run", "control"), alert: "Sick", warning: "0.00001", critical: "0.99", cooldown: "60s",
				servers: redisSection(t, "cache", r.url()), shared: "\n  control: {redis: cache, key_file: " + key + "}",
			}, fmt.Sprintf(throttleStep, "180s"), "        - {action: escalate}")
			lib, err := filepath.Abs(integration)
			if err != nil {
				t.Fatal(err)
			}
			env := append(withoutTitles(t), "RESP_STATSD=", "RESP_CONTROL_KEY_FILE="+key, fmt.Sprintf("CONTROL_REDIS=redis://shop:reader@127.0.0.1:%d/0", r.port))
			env[0] += ":" + lib
			other := serve(t, launch{server: "gunicorn", source: "shop/asked.py", args: []string{"-w", "2"}, env: env})
			a.reports(t)
			if share := shedBy(other, 100); share > 0 {
				t.Errorf("%.0f %% of the requests were shed before", 100*share)
			}
			a.reported(t, "Sick", "app=shop")
			a.becomes(t, 30*time.Second, "sick", "verified")
			eventually(t, 30*time.Second, func() error { // until each worker has read the key
				if share := shedBy(other, 600); share < 0.45 || share > 0.55 {
					return fmt.Errorf("%.0f %% of the requests were shed on the other host, want 50", 100*share)
				}
				return nil
			})
			m := a.scrape(t)
			n, _ := m.sum("resp_heal_control_key_writes_total", "outcome=written")
			if err := all(m.want(1, "resp_heal_control_keys"), wants("keys were written", n > 0, true)); err != nil {
				t.Error(err)
			}
			pid := a.PID()
			if victim == "redis" {
				pid = r.proc.PID()
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed := time.Now()
			if share := shedBy(other, 100); share == 0 {
				t.Error("nothing is shed right after it was killed")
			}
			patience := 5*time.Second + scaled(time.Second) // until the last value is read, and then 5 s
			passes(t, time.Until(killed.Add(patience)), "what was read of the key, for 5 s, expires")
			if share := shedBy(other, 300); share > 0 {
				t.Errorf("%.0f %% of the requests were shed on the other host %s later", 100*share, patience)
			}
			if share := shedBy(a.shop, 300); share == 0 {
				t.Error("the app of this host sheds nothing, although its file asks for it")
			}
		})
	}
}
