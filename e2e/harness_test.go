// Package e2e_test runs the exporter's real binary beside real servers on the loopback.
// Each test has its own apps, with names that nothing else on the machine uses, so that
// other programs there do not matter.
package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/fusefs"
	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// python is Debian's, which sees Debian's Flask; another one on the PATH may not.
const python = "/usr/bin/python3"

// binary is the exporter, built once by TestMain unless RESP_EXPORTER_BINARY names one.
var binary string

// freshData returns the directory with a data directory of MariaDB on which no server ever
// ran. It is made at the first call, because that takes seconds.
var freshData func() (string, error)

// serveFUSE is set in the environment of a program that only serves a file system.
const serveFUSE = "RESP_E2E_SERVE_FUSE"

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if os.Getenv(serveFUSE) != "" {
		if err := fusefs.Serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "resp-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	freshData = sync.OnceValues(func() (string, error) { return dir, mariadb.Install(dir) })
	if binary, err = run.Exporter(context.Background(), "..", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// packages returns the Debian packages of a missing program.
var packages = map[string]string{
	"gunicorn": "gunicorn", "uwsgi": "uwsgi-core and uwsgi-plugin-python3", "uvicorn": "uvicorn", python: "python3-flask",
	"prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager", "prometheus-alertmanager": "prometheus-alertmanager", "chromium": "chromium", "node": "nodejs", "unshare": "util-linux",
	"nsenter": "util-linux", "mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server", "redis-server": "redis-server", "redis-cli": "redis-tools", "openssl": "openssl", "setpriv": "util-linux", "ip": "iproute2",
	"setcap": "libcap2-bin", "mariadb": "mariadb-client", "sha256sum": "coreutils", "curl": "curl", "rq": "python3-rq", "celery": "celery", "systemd-analyze": "systemd", "gcc": "gcc and libc6-dev",
	"waitress-serve": "python3-waitress", "hypercorn": "python3-hypercorn",
	"mke2fs": "e2fsprogs", "debugfs": "e2fsprogs", "mount": "mount", "umount": "mount",
}

// need fails the test when a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", p, packages[p])
		}
	}
}

// needDevice fails the test when a device is missing, and names the kernel's module.
func needDevice(t *testing.T, device, module string) {
	t.Helper()
	if _, err := os.Stat(device); err != nil {
		t.Fatalf("%s is missing: modprobe %s; in a container, pass the device to it (%v)", device, module, err)
	}
}

// needRoot fails the test when it does not run as root.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test changes user or network namespace: run it as root")
	}
}

// start starts a program that ends, with all it started, when the test does.
// When the test failed, the end of the program's output is shown.
func start(t *testing.T, spec run.Spec) *run.Proc {
	t.Helper()
	need(t, spec.Path)
	if spec.Logs == "" {
		spec.Logs = t.TempDir()
	}
	p, err := run.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("--- the end of what %s wrote:\n%s", p.Name, p.Output(3000))
		}
	})
	return p
}

// eventually calls f until it returns nil. The limit is for a machine with
// little to do; three times that pass at least, and more on a busy one.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	poll(t, limit, 200*time.Millisecond, f)
}

// poll is eventually with another pause between two calls.
func poll(t *testing.T, limit, pause time.Duration, f func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := f()
		if err == nil {
			return
		}
		if took := time.Since(began); took > max(3*limit, scaled(limit)) {
			t.Fatalf("not within %s: %v", took.Round(time.Second), err)
		}
		time.Sleep(pause)
	}
}

// quiet calls f for that long, with a pause after each call and a last call at the end.
// It fails the test when f returns an error. what says what must hold all the while.
func quiet(t *testing.T, d, pause time.Duration, what string, f func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(pause) {
		late := time.Since(began)
		if err := f(); err != nil {
			t.Fatalf("%s, but after %s of %s: %v", what, late.Round(time.Millisecond), d, err)
		}
		if late >= d {
			return
		}
	}
}

// repeat calls f n times, with a pause after each call, and fails the test when f returns
// an error.
func repeat(t *testing.T, n int, pause time.Duration, f func() error) {
	t.Helper()
	for i := range n {
		if err := f(); err != nil {
			t.Fatalf("call %d of %d: %v", i+1, n, err)
		}
		time.Sleep(pause)
	}
}

// passes returns after d, or when the test ends. why names what needs the time, where
// nothing reports its end.
func passes(t *testing.T, d time.Duration, why string) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatalf("ended while %s passed: %s", d, why)
	case <-time.After(d):
	}
}

// scaled returns what a limit for a machine with little to do is on this one: as
// many times longer as there are more processes that run or want to than
// processors, now or in the last minute, and ten times at most.
func scaled(limit time.Duration) time.Duration {
	var load float64
	var ignored string
	var running int
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscanf(strings.ReplaceAll(string(b), "/", " "), "%g %s %s %d", &load, &ignored, &ignored, &running)
	}
	busy := max(load, float64(running)) / float64(runtime.NumCPU())
	return time.Duration(float64(limit) * min(max(busy, 1), 10))
}

// unique is a name that nothing else uses, fit for a Python module.
func unique(stem string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	b := []byte(stem + "_")
	for range 7 {
		b = append(b, letters[rand.IntN(len(letters))])
	}
	return string(b)
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := run.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freeUDPPort(t *testing.T) int {
	t.Helper()
	port, err := run.FreeUDPPort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// openDir is a temporary directory that every user may look into, with a path
// short enough for a socket.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "re") //nolint:usetesting // t.TempDir is closed to others, and long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// dataDir returns a new directory for a MariaDB server, with a fresh data directory.
func dataDir(t *testing.T) string {
	t.Helper()
	need(t, "mariadbd", "mariadb-install-db")
	dir := openDir(t)
	from, err := freshData()
	if err == nil {
		err = mariadb.Copy(t.Context(), from, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// all joins the errors of several checks.
func all(errs ...error) error { return errors.Join(errs...) }

// wants returns an error unless got equals want.
func wants[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

func joined(lines ...string) string { return strings.Join(lines, "\n") + "\n" }
