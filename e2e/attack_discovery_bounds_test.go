package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// listeners opens that many abstract sockets in one process that calls itself gunicorn.
const listeners = `
import os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
for i in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_UNIX); s.bind("\0attack-%d-%d" % (os.getpid(), i)); s.listen(1); s.set_inheritable(True)
    held.append(s)
print("ready", flush=True)
os.execv("/bin/sleep", ["gunicorn: master [evil]", "3600"])
`

// TestAttackSocketsOfAnApp checks that an app with 18,000 listening sockets gets series
// for 64, and that the other apps are complete.
func TestAttackSocketsOfAnApp(t *testing.T) {
	b := newBox(t)
	real := b.serve(t, launch{})
	b.attack(t, listeners, "18000")
	x := b.watch(t, export{})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(seen(m, real, "gunicorn", 2), m.has("resp_listener_queue_length", "app=evil"))
	})
	m := x.scrape(t)
	for _, family := range []string{"resp_listener_queue_length", "resp_listener_queue_limit"} {
		n := 0
		m.each(family, []string{"app=evil"}, func(map[string]string, float64) { n++ })
		if n == 0 || n > 65 {
			t.Errorf("%d series of %s", n, family)
		}
	}
}

// children forks that many processes under the title of a gunicorn master. All hold its
// socket and a hundred more descriptors.
const children = `
import os, socket, sys, signal, time
if len(sys.argv) > 2:
    n, fd = int(sys.argv[1]), int(sys.argv[2])
    for i in range(n):
        if os.fork() == 0:
            while True: signal.pause()
    print("ready", flush=True)
    while True: signal.pause()
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(5); s.set_inheritable(True)
for _ in range(100): os.set_inheritable(os.dup(s.fileno()), True)
os.execv(sys.executable, ["gunicorn", sys.argv[0], sys.argv[1], str(s.fileno()), "evil:app"])
`

// TestAttackChildrenOfAnApp checks that the number of processes read for one app, and so
// the cost of a scrape, is limited.
func TestAttackChildrenOfAnApp(t *testing.T) {
	b := newBox(t)
	real := b.serve(t, launch{})
	b.attack(t, children, "5000")
	x := b.watch(t, export{})
	eventually(t, 60*time.Second, func() error {
		m := x.scrape(t)
		return all(seen(m, real, "gunicorn", 2), m.has("resp_app_threads", "app=evil"))
	})
	var threads float64
	used := -cpuOf(t, x)
	const scrapes = 20
	repeat(t, scrapes, 100*time.Millisecond, func() error {
		n, _ := x.scrape(t).sum("resp_app_threads", "app=evil")
		threads = max(threads, n)
		return nil
	})
	used += cpuOf(t, x)
	t.Logf("%.0f ms of CPU a scrape, %.0f threads", used/scrapes*1000, threads)
	if threads > 2048 {
		t.Errorf("%.0f threads of one app are read", threads)
	}
	if used/scrapes > 0.4 {
		t.Errorf("a scrape costs %.0f ms of CPU", used/scrapes*1000)
	}
}

// cpuOf reads the CPU time that the exporter has used, in seconds.
func cpuOf(t *testing.T, x *exporter) float64 {
	t.Helper()
	v, ok := x.scrape(t).sum("process_cpu_seconds_total")
	if !ok {
		t.Fatal("the exporter does not say how much CPU it used")
	}
	return v
}

// boundNames binds abstract sockets with the names that are given in hexadecimal.
const boundNames = `
import os, socket, sys, signal
for name in sys.argv[1:]:
    s = socket.socket(socket.AF_UNIX); s.bind(bytes.fromhex(name)); s.listen(1); s.set_inheritable(True)
    os.dup2(s.fileno(), s.fileno() + 100)
print("ready", flush=True)
os.execv("/bin/sleep", ["gunicorn: master [evil]", "3600"])
`

// TestAttackSocketName checks that each app's accept queue is reported while a socket has
// a name of any bytes.
func TestAttackSocketName(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	real := b.serve(t, launch{})
	b.attack(t, boundNames, "00ff", "000a2320544950452078", "00e280ae73", "0022", "005c", "00"+strings.Repeat("ff", 107), "001b5b324a", "00c3")
	x := b.watch(t, export{})
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(seen(m, real, "gunicorn", 2), m.has("resp_listener_queue_length", "app=evil"), m.want(1, "resp_scrape_collector_success", "collector=listener"))
	})
	x.scrape(t).each("resp_listener_queue_length", []string{"app=evil"}, func(labels map[string]string, _ float64) {
		if l := labels["listener"]; !utf8.ValidString(l) || len(l) > 128 || strings.ContainsAny(l, "\n\x1b\u202e") {
			t.Errorf("listener %q", l)
		}
	})
}

// TestAttackPIDFile checks that a pid file that another user controls selects no process,
// and that refusing it is cheap.
func TestAttackPIDFile(t *testing.T) {
	t.Parallel()
	needRoot(t)
	root := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}})
	pid := fmt.Sprintf("%d\n", root.PID())
	own := write(t, filepath.Join(openDir(t), "pid"), pid)
	dir := attackerDir(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Symlink("/dev/zero", path("zero")), unix.Mkfifo(path("fifo"), 0o666), os.Symlink(own, path("link")),
		os.WriteFile(path("pid"), []byte(pid), 0o644), os.Chown(path("pid"), attacker, attacker), os.Chown(path("fifo"), attacker, attacker),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		file string
		up   float64
	}{
		"root's":       {own, 1},
		"a stranger's": {path("pid"), 0},
		"a link":       {path("link"), 0},
		"a FIFO":       {path("fifo"), 0},
		"/dev/zero":    {path("zero"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			// What reads without end must not take this machine's memory.
			x := watch(t, export{config: joined("apps:", fmt.Sprintf("  - {name: shop, match: {pid_file: %s}}", c.file)), wrap: []string{"prlimit", "--data=1000000000"}})
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				return all(m.want(1, "resp_scrape_collector_success", "collector=process"), m.want(c.up, "resp_up", "component=app:shop"))
			})
		})
	}
}
