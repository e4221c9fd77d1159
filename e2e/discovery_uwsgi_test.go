package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestUWSGIProcesses checks that the workers of uWSGI are told from its gateways, its mules and
// its master: idle, while all of them are busy, by an exporter that saw them start, and by one
// that is started then.
func TestUWSGIProcesses(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	statistics := write(t, filepath.Join(openDir(t), "stats.ini"), fmt.Sprintf("[uwsgi]\nmaster = true\nprocesses = 2\nstats = 127.0.0.1:%d\n", port))
	mules := write(t, filepath.Join(openDir(t), "mules.ini"), fmt.Sprintf("[uwsgi]\nmaster = true\nprocesses = 2\nmules = 2\nstats = %s\n", filepath.Join(openDir(t), "s.sock")))
	x := watch(t, export{})
	for _, c := range []struct {
		name, server string
		args         []string
		workers      int
	}{
		{"no master", "uwsgi", []string{"--processes", "3"}, 3},
		{"no master, threads", "uwsgi", []string{"--processes", "2", "--threads", "2", "--thunder-lock"}, 2},
		{"statistics", "uwsgi", []string{"--ini", statistics}, 2},
		{"mules", "uwsgi", []string{"--ini", mules}, 2},
		{"alone behind a gateway", "uwsgi-http", nil, 1},
		{"threads behind a gateway", "uwsgi-http", []string{"--threads", "2"}, 1},
		{"no master, behind a gateway", "uwsgi-http", []string{"--processes", "2"}, 2},
		{"master, behind gateways", "uwsgi-http", []string{"--master", "--processes", "2", "--http-processes", "2"}, 2},
		{"async, behind a gateway", "uwsgi-http", []string{"--master", "--processes", "2", "--plugin", "ugreen", "--async", "2", "--ugreen"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, launch{server: c.server, args: c.args})
			eventually(t, 40*time.Second, func() error { return seen(x.scrape(t), a, "uwsgi", c.workers) })
			for range 4 * c.workers { // each of them has one, whoever takes them
				a.behind("/slow?s=600")
			}
			busy := func(x *exporter) {
				eventually(t, 40*time.Second, func() error {
					m := x.scrape(t)
					return all(m.want(float64(c.workers), "resp_app_workers", "app="+a.name), m.want(0, "resp_app_workers", "app="+a.name, "state=idle"))
				})
			}
			busy(x)
			busy(watch(t, export{}))
		})
	}
}
