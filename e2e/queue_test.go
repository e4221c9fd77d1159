package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

const backlog = 5

// TestQueueFills opens more connections than the backlog of a server with one sleeping
// worker allows. The kernel holds limit or limit+1 of them, and the exporter reports the
// same number.
func TestQueueFills(t *testing.T) {
	t.Parallel()
	gunicorn := []string{"-w", "1", "--backlog", fmt.Sprint(backlog), "--timeout", "600"}
	uwsgi := []string{"--master", "--processes", "1", "--listen", fmt.Sprint(backlog)}
	tests := []struct {
		name   string
		launch launch
	}{
		{"gunicorn TCP", launch{server: "gunicorn", args: gunicorn}},
		{"gunicorn UNIX", launch{server: "gunicorn", unix: true, args: gunicorn}},
		{"uWSGI TCP", launch{server: "uwsgi", args: uwsgi}},
		{"uWSGI UNIX", launch{server: "uwsgi", unix: true, args: uwsgi}},
	}
	x := watch(t, export{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, test.launch)
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				return all(
					m.want(0, "resp_listener_queue_length", "app="+a.name, "listener="+a.listen),
					m.want(backlog, "resp_listener_queue_limit", "app="+a.name, "listener="+a.listen),
				)
			})
			a.behind("/slow?s=600")
			eventually(t, 10*time.Second, func() error {
				return x.scrape(t).want(1, "resp_app_workers", "app="+a.name, "state=busy")
			})
			a.crowd(t, backlog+5)
			eventually(t, 10*time.Second, func() error { return full(x.scrape(t), a.name, a.listen) })
		})
	}
}

// full returns an error unless the queue holds limit or limit+1 connections.
func full(m metrics, app, listener string) error {
	length, ok := m.sum("resp_listener_queue_length", "app="+app, "listener="+listener)
	if !ok || (length != backlog && length != backlog+1) {
		return fmt.Errorf("queue of %s at %s is %v (known: %t), want %d or %d", app, listener, length, ok, backlog, backlog+1)
	}
	return m.want(backlog, "resp_listener_queue_limit", "app="+app, "listener="+listener)
}
