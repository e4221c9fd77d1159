package restarttask_test

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// Celery: messages wait, none was taken, and the worker of this broker is found by its
// connection.
func TestRestartTaskCelery(t *testing.T) {
	t.Parallel()
	broker, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() }) // after all cases
	at := broker.Addr().(*net.TCPAddr)
	connect := fmt.Sprintf("import socket\nc = socket.create_connection(('127.0.0.1', %d))", at.Port)
	pid, stranger := rqProcess(t, connect).Process.Pid, rqProcess(t, "").Process.Pid
	still := tasks.Intake{Waiting: 5, Held: 2, At: redis.ServerState{Peer: at.AddrPort(), Hidden: "not allowed"}}
	for name, c := range map[string]struct {
		intake func(*tasks.Intake)
		change func(*discovery.CeleryWorker)
		more   []discovery.CeleryWorker
		want   action.Code // of the refusal; "": cleared; "planned"
	}{
		"hangs":                {want: "planned"},
		"takes messages":       {intake: func(in *tasks.Intake) { in.Fresh = true }},
		"nothing waits":        {intake: func(in *tasks.Intake) { in.Waiting = 0 }},
		"nothing held":         {intake: func(in *tasks.Intake) { in.Held = 0 }, want: action.CodeHangUnproven},
		"UNIX socket":          {intake: func(in *tasks.Intake) { in.At.Peer = netip.AddrPort{} }, want: action.CodeNotConnected},
		"other queues too":     {change: func(w *discovery.CeleryWorker) { w.Queues = []string{"celery", "mail"} }, want: action.CodeOtherQueues},
		"of another broker":    {change: func(w *discovery.CeleryWorker) { w.PID = stranger; w.Start = startOf(t, stranger) }, want: action.CodeNotConnected},
		"of another queue":     {change: func(w *discovery.CeleryWorker) { w.Queues = []string{"mail"} }, want: action.CodeNoWorker},
		"a number given again": {change: func(w *discovery.CeleryWorker) { w.Start = w.Start.Add(-time.Minute) }, want: action.CodeOtherProcess},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, w := still, discovery.CeleryWorker{PID: pid, Start: startOf(t, pid), Queues: []string{"celery"}}
			if c.intake != nil {
				c.intake(&in)
			}
			if c.change != nil {
				c.change(&w)
			}
			f := &actiontest.Processes{Snap: discovery.Snapshot{Celery: append([]discovery.CeleryWorker{w}, c.more...)}}
			settings := config.RestartTask{Idempotent: true, MinStuck: time.Second}
			time.Sleep(1100 * time.Millisecond) // the worker is older than that
			p, err := restartTask(&queues{intake: in}, f, settings).Plan(t.Context(), action.PlanRequest{Alert: action.Alert{Labels: map[string]string{"app": "shop", "queue": "celery"}}})
			switch {
			case err != nil:
				t.Error(err)
			case c.want == "planned":
				if !p.Refused.IsZero() || p.Total != 1 || p.Victims[0].ID != strconv.Itoa(pid) {
					t.Errorf("%+v", p)
				}
			case c.want == "":
				if !p.Cleared {
					t.Errorf("%+v", p)
				}
			case p.Refused.Code != c.want:
				t.Errorf("%+v", p)
			}
		})
	}
}

func startOf(t *testing.T, pid int) time.Time {
	t.Helper()
	id, err := procid.Identify("/proc", pid)
	if err != nil {
		t.Fatal(err)
	}
	at, err := id.StartTime()
	if err != nil {
		t.Fatal(err)
	}
	return at
}
