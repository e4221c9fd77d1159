package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// up returns an error unless exactly these apps of a base name are reported, all of them
// up.
func up(m metrics, base string, names ...string) error {
	var errs []error
	seen := make(map[string]bool)
	m.each("resp_up", nil, func(labels map[string]string, v float64) {
		name, ok := strings.CutPrefix(labels["component"], "app:")
		if !ok || name != base && !strings.HasPrefix(name, base+"@") && !strings.HasPrefix(name, base+"~") {
			return
		}
		seen[name] = true
		errs = append(errs, wants("resp_up of "+name, v, 1))
	})
	for _, n := range names {
		errs = append(errs, wants("report of "+n, seen[n], true))
		delete(seen, n)
	}
	for n := range seen {
		errs = append(errs, fmt.Errorf("%s is reported too", n))
	}
	return all(errs...)
}

// TestTruthNameIsFound checks that the name is found in the command line, in variables, in
// a file or in the title, as each server takes it.
func TestTruthNameIsFound(t *testing.T) {
	t.Parallel()
	hidden := withoutTitles(t)
	conf := filepath.Join(openDir(t), "conf.py")
	front, till, blue, desk := unique("front"), unique("till"), unique("blue")+":b", unique("desk")
	write(t, conf, fmt.Sprintf("# proc_name = 'wrong'\nworkers = 1\nproc_name = '%s'\n", till))
	for name, c := range map[string]struct {
		launch launch
		want   string // empty: the module's
	}{
		"an option's value is a dash":    {launch{server: "gunicorn", args: []string{"--access-logfile", "-"}, env: hidden}, ""},
		"a switch before the app":        {launch{server: "uvicorn", args: []string{"--no-server-header"}}, ""},
		"gunicorn's variable":            {launch{server: "gunicorn", env: append([]string{"GUNICORN_CMD_ARGS=--name=" + front}, hidden...)}, front},
		"gunicorn's configuration":       {launch{server: "gunicorn", args: []string{"-c", conf}, env: hidden}, till},
		"a name with a colon in a title": {launch{server: "gunicorn", title: blue}, blue},
		"uWSGI's title with a name":      {launch{server: "uwsgi", args: []string{"--master", "--processes", "1", "--auto-procname", "--procname-prefix-spaced", desk}}, desk},
	} {
		t.Run(name, func(t *testing.T) {
			x := watch(t, export{})
			a := serve(t, c.launch)
			if c.want == "" {
				c.want = a.name
			}
			eventually(t, 20*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=app:"+c.want) })
		})
	}
}

// TestTruthNamesDoNotSwap checks that two apps of one module keep their names after a
// restart of one of them, and of the exporter.
func TestTruthNamesDoNotSwap(t *testing.T) {
	t.Parallel()
	one, two := freePort(t), freePort(t)
	l := launch{server: "gunicorn", name: unique("shop"), dir: openDir(t), port: min(one, two), args: []string{"-w", "1"}}
	other := l
	other.port = max(one, two)
	a := serve(t, l)
	b := serve(t, other)
	plain, second := a.name, a.name+"@"+b.listen
	x := watch(t, export{})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(up(m, plain, plain, second), m.has("resp_listener_queue_limit", "app="+plain, "listener="+a.listen))
	})
	a.Stop()
	a = serve(t, l)
	x.Stop()
	x = watch(t, export{})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(up(m, plain, plain, second), m.has("resp_listener_queue_limit", "app="+plain, "listener="+a.listen))
	})
}

// inPod starts a server in its own network namespace and with its own host name.
func inPod(t *testing.T, l launch, host string) *app {
	t.Helper()
	l.wrap = []string{"unshare", "--net", "--uts", "sh", "-c", "ip link set lo up && hostname " + host + ` && exec "$@"`, "sh"}
	return serve(t, l)
}

// TestTruthRollingUpdateIsOneApp checks a rolling update that starts the new pod before it
// ends the old one: both are up meanwhile, as two apps.
func TestTruthRollingUpdateIsOneApp(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "unshare", "ip")
	l := launch{server: "gunicorn", name: unique("app"), dir: openDir(t), port: 8000, args: []string{"-w", "1"}}
	x := watch(t, export{})
	old := inPod(t, l, "api-7d9f8b6c5d-x2x9k")
	eventually(t, 20*time.Second, func() error { return up(x.scrape(t), l.name, l.name) })
	inPod(t, l, "api-58b9cd7f66-4zqtw")
	eventually(t, 20*time.Second, func() error { return wants("apps", replicas(x.scrape(t), l.name), 2) })
	old.Stop()
	eventually(t, 20*time.Second, func() error { return up(x.scrape(t), l.name, l.name) })
	inPod(t, l, "web-5c6d7f8b9d-q4z7p")
	eventually(t, 20*time.Second, func() error { return up(x.scrape(t), l.name, l.name, l.name+"@web") })
}

// replicas counts the apps of a base name that are up.
func replicas(m metrics, base string) (n int) {
	m.each("resp_up", nil, func(labels map[string]string, v float64) {
		if strings.HasPrefix(labels["component"], "app:"+base) && v == 1 {
			n++
		}
	})
	return n
}
