package e2e_test

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// TestFlaskKilledUnsent checks that the requests that a worker has answered just before it is
// killed are counted, each once, although it had not sent them yet: right after a pause the
// first is sent at once, and the others wait for a tenth of a second.
func TestFlaskKilledUnsent(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for _, s := range flaskServers[:2] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			a := serveFlask(t, x, s.server, append(s.args, "-w", "1"))
			answered := 0.0
			for range 3 {
				pid := a.kept(t, x)
				time.Sleep(300 * time.Millisecond)
				for range 20 {
					if status := a.get("/items/1"); status != http.StatusOK {
						t.Fatalf("status %d", status)
					}
					answered++
				}
				signals(t, pid, syscall.SIGKILL)
				eventually(t, 40*time.Second, func() error {
					m := x.scrape(t)
					counted, _ := m.sum("resp_http_requests_total", "app="+a.name, "route=/items/<int:n>")
					cut, _ := m.sum("resp_http_requests_killed_total", "app="+a.name, "route=/items/<int:n>")
					return wants("requests", counted+cut, answered) // the last may not have been over yet
				})
			}
		})
	}
}

// kept returns the pid of the only worker, once the exporter has its memory file.
func (a *app) kept(t *testing.T, x *exporter) (pid int) {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		for pid = range a.inside(t, 1) {
			x.scrape(t)
			kept := memoryFiles(x.PID())
			for inode := range memoryFiles(pid) {
				if kept[inode] {
					return nil
				}
			}
		}
		return fmt.Errorf("the exporter has no memory file of worker %d", pid)
	})
	return pid
}
