package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// seen returns an error unless the exporter reports the app with that many workers in
// slots from 0 on, its listener and its server.
func seen(m metrics, a *app, server string, workers int) error {
	errs := []error{
		m.want(1, "resp_up", "component=app:"+a.name),
		m.want(float64(workers), "resp_app_workers", "app="+a.name),
		m.slots(a.name, workers),
		m.has("resp_listener_queue_length", "app="+a.name, "listener="+a.listen),
		m.has("resp_listener_queue_limit", "app="+a.name, "listener="+a.listen),
		m.has("resp_app_info", "app="+a.name, "server="+server),
		m.has("resp_app_memory_bytes", "app="+a.name, "kind=rss"),
		m.has("resp_app_cpu_seconds_total", "app="+a.name),
		m.has("resp_app_threads", "app="+a.name),
		m.has("resp_app_open_fds", "app="+a.name),
		m.has("resp_app_max_fds", "app="+a.name),
	}
	return all(errs...)
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	hidden := withoutTitles(t)
	tests := []struct {
		name    string
		launch  launch
		server  string
		workers int
	}{
		{"gunicorn sync", launch{server: "gunicorn", args: []string{"-w", "4"}}, "gunicorn", 4},
		{"gunicorn with a name", launch{server: "gunicorn", title: unique("named"), args: []string{"-w", "2"}}, "gunicorn", 2},
		{"gunicorn gthread", launch{server: "gunicorn", args: []string{"-w", "2", "-k", "gthread", "--threads", "3"}}, "gunicorn", 2},
		{"gunicorn preload", launch{server: "gunicorn", args: []string{"-w", "4", "--preload"}}, "gunicorn", 4},
		{"gunicorn without titles", launch{server: "gunicorn", args: []string{"-w", "4"}, env: hidden}, "gunicorn", 4},
		{"gunicorn preload without titles", launch{server: "gunicorn", args: []string{"-w", "2", "--preload"}, env: hidden}, "gunicorn", 2},
		{"gunicorn on a UNIX socket", launch{server: "gunicorn", unix: true, args: []string{"-w", "2"}}, "gunicorn", 2},
		{"uWSGI with a master", launch{server: "uwsgi", args: []string{"--master", "--processes", "4"}}, "uwsgi", 4},
		{"uWSGI on a UNIX socket", launch{server: "uwsgi", unix: true, args: []string{"--master", "--processes", "2"}}, "uwsgi", 2},
		{"uWSGI alone", launch{server: "uwsgi"}, "uwsgi", 1},
		{"uWSGI without a master", launch{server: "uwsgi", args: []string{"--processes", "3"}}, "uwsgi", 3},
		{"uWSGI behind its own router", launch{server: "uwsgi-http", args: []string{"--master", "--processes", "2"}}, "uwsgi", 2},
		{"uvicorn", launch{server: "uvicorn"}, "uvicorn", 1},
		{"uvicorn with workers", launch{server: "uvicorn", args: []string{"--workers", "2"}}, "uvicorn", 2},
		{"flask run", launch{server: "flask", args: []string{"--no-reload"}}, "flask", 1},
		{"a script that listens", launch{server: "script", name: unique("till")}, "python", 1},
	}
	x := watch(t, export{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := serve(t, test.launch)
			eventually(t, 20*time.Second, func() error {
				return seen(x.scrape(t), a, test.server, test.workers)
			})
		})
	}
}

// TestDiscoveryOfSeveral starts several apps at once and ends them: an app that is gone is
// down for a while or forgotten, but never up.
func TestDiscoveryOfSeveral(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	gunicorn := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}})
	uwsgi := serve(t, launch{server: "uwsgi", args: []string{"--master", "--processes", "2"}})
	flask := serve(t, launch{server: "flask", args: []string{"--no-reload"}})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(seen(m, gunicorn, "gunicorn", 2), seen(m, uwsgi, "uwsgi", 2), seen(m, flask, "flask", 1))
	})
	uwsgi.Stop()
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		if up, _ := m.sum("resp_up", "component=app:"+uwsgi.name); up != 0 {
			return fmt.Errorf("%s ended and is still up", uwsgi.name)
		}
		return all(seen(m, gunicorn, "gunicorn", 2), seen(m, flask, "flask", 1))
	})
}

// TestDiscoveryByConfiguration checks that a configured app is found by its match, has the
// configured name, and is reported as down while it does not run.
func TestDiscoveryByConfiguration(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	module, port := unique("shop"), freePort(t)
	pidFile := filepath.Join(dir, "pid")
	x := watch(t, export{config: joined(
		"apps:",
		fmt.Sprintf("  - {name: by-cmdline, match: {cmdline: 'gunicorn.*%s'}}", module),
		fmt.Sprintf("  - {name: by-pid, match: {pid_file: %s}}", pidFile),
		"  - {name: absent, match: {listen: 'unix:/nowhere/at/all.sock'}}",
	)})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_up", "component=app:by-cmdline"), m.want(0, "resp_up", "component=app:absent"))
	})
	a := serve(t, launch{server: "gunicorn", name: module, port: port, env: withoutTitles(t), args: []string{"-w", "2"}})
	a.name = "by-cmdline"
	b := serve(t, launch{server: "uwsgi", args: []string{"--master", "--processes", "2", "--pidfile", pidFile}})
	b.name = "by-pid"
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(seen(m, a, "gunicorn", 2), seen(m, b, "uwsgi", 2), m.want(0, "resp_up", "component=app:absent"))
	})
}

func TestDiscoveryByListener(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	x := watch(t, export{config: joined(
		"apps:",
		fmt.Sprintf("  - {name: by-port, match: {listen: ':%d'}}", port),
	)})
	a := serve(t, launch{server: "gunicorn", port: port, args: []string{"-w", "2"}})
	a.name = "by-port"
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 2) })
}
