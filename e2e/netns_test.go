package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// TestAppInAnotherNetworkNamespace checks that an app in another network namespace, as in
// a container, is found with the queue of its listener, although the exporter cannot
// connect to it.
func TestAppInAnotherNetworkNamespace(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "unshare", "nsenter", "ip", python)
	x := watch(t, export{})
	// The namespace lives as long as its processes: nothing is left behind.
	a := serve(t, launch{
		server: "gunicorn", wrap: []string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"},
		args: []string{"-w", "1", "--backlog", fmt.Sprint(backlog), "--timeout", "600"},
	})
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 1) })
	if status := a.get("/healthz"); status != 0 {
		t.Fatalf("the app answers %d from outside its namespace", status)
	}
	crowd := start(t, crowdInside(t, a))
	eventually(t, 20*time.Second, func() error {
		if err := crowd.Err(); err != nil {
			t.Fatalf("%v\n%s", err, crowd.Output(2000))
		}
		m := x.scrape(t)
		return all(full(m, a.name, a.listen), m.has("resp_listen_overflows_total"))
	})
}

// crowdInside sends, from within the app's namespace, one request that sleeps
// and then more connections than the backlog takes.
func crowdInside(t *testing.T, a *app) run.Spec {
	t.Helper()
	script := fmt.Sprintf(`
import socket, time
address = ("127.0.0.1", %s)
first = socket.create_connection(address)
first.sendall(b"GET /slow?s=600 HTTP/1.0\r\n\r\n")
time.sleep(1)
held = []
for _ in range(%d):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(address)
    held.append(s)
    time.sleep(0.02)
time.sleep(600)
`, port(a.listen), backlog+5)
	return run.Spec{Name: "crowd", Path: "nsenter", Args: []string{"--net=" + fmt.Sprintf("/proc/%d/ns/net", a.PID()), python, "-c", script}}
}
