package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// controlSocket is a configuration of gunicorn whose master opens another socket once its
// workers run, as gunicorn 26 does.
const controlSocket = `
import os, socket, threading
held = []
def when_ready(server):
    def later():
        s = socket.socket(socket.AF_UNIX)
        s.bind(os.environ["CONTROL"])
        s.listen(100)
        held.append(s)
    threading.Timer(1.5, later).start()
`

// listening returns an error unless a UNIX socket listens at the path (/proc/net/unix, column
// Flags: SO_ACCEPTCON). It opens no connection, which would remain in the queue.
func listening(path string) error {
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 8 && f[7] == path && f[3] == "00010000" {
			return nil
		}
	}
	return fmt.Errorf("nothing listens at %s", path)
}

// TestTruthFullnessIsOfOneListener checks that a full queue is full whatever other sockets
// the app holds: a control socket, which is no listener of the app, or another bind, which
// has its own queue.
func TestTruthFullnessIsOfOneListener(t *testing.T) {
	t.Parallel()
	const limit = 8
	dir := openDir(t)
	conf, control := write(t, filepath.Join(dir, "gunicorn.conf.py"), controlSocket), filepath.Join(dir, "admin.sock")
	second := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	args := []string{"-w", "1", "--backlog", fmt.Sprint(limit), "--timeout", "600"}
	// The second bind comes first on the command line, so that the one in use is not the first.
	apps := map[string]launch{
		"control socket": {server: "gunicorn", args: append([]string{"-c", conf}, args...), env: []string{"CONTROL=" + control}},
		"two binds":      {server: "gunicorn", args: append([]string{"-b", second}, args...)},
	}
	x := watch(t, export{config: "monitoring_interval: 1s\nthresholds: {memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}\n"})
	for name, l := range apps {
		t.Run(name, func(t *testing.T) {
			a := serve(t, l)
			eventually(t, 20*time.Second, func() error {
				return x.scrape(t).want(limit, "resp_listener_queue_limit", "app="+a.name, "listener="+a.listen)
			})
			if name == "control socket" {
				eventually(t, 5*time.Second, func() error { return listening(control) })
			}
			a.behind("/slow?s=600")
			eventually(t, 10*time.Second, func() error {
				return x.scrape(t).want(1, "resp_app_workers", "app="+a.name, "state=busy")
			})
			a.crowd(t, limit+5)
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				var strange []error
				m.each("resp_listener_queue_limit", []string{"app=" + a.name}, func(labels map[string]string, _ float64) {
					if strings.HasSuffix(labels["listener"], "admin.sock") {
						strange = append(strange, fmt.Errorf("the control socket is a listener of %s", a.name))
					}
				})
				return all(append(strange, m.want(2, "resp_health_status", "app="+a.name, "component=request_queue"))...)
			})
		})
	}
}
