package discovery

import (
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// The processes of a pool belong to their worker, with and without titles.
func TestCeleryWorkers(t *testing.T) {
	w := &Watcher{table: table.New(procfs.New("/proc")), celeryGen: -1}
	w.table.Boot = time.Unix(0, 0)
	add := func(pid, ppid int, argv ...string) {
		w.table.Processes[pid] = &table.Process{PID: pid, Start: uint64(pid), Stat: procfs.Stat{PPID: ppid}, Argv: argv, Celery: cmdline.ParseCelery(argv)}
	}
	plain := []string{"python3", "-m", "celery", "worker", "-Q", "mail"}
	add(10, 1, plain...)
	for pid := 11; pid < 14; pid++ {
		add(pid, 10, plain...)
	}
	add(14, 10, "convert", "x.png") // started by a task
	add(20, 1, "[celeryd: a@h:MainProcess] -active- (worker)")
	add(21, 20, "[celeryd: a@h:ForkPoolWorker-1]")
	add(22, 20, "[celeryd: a@h:Beat]")
	add(30, 1, "python3", "-m", "celery", "worker", "-P", "threads", "-Q", "slow")
	add(40, 1, "[celeryd: gone@h:ForkPoolWorker-1]") // its worker was killed
	w.table.Link()
	got := w.celeryWorkers()
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	for i, want := range []struct {
		pid, processes int
		queue          string
	}{{10, 3, "mail"}, {20, 1, "celery"}, {30, 1, "slow"}} {
		if g := got[i]; g.PID != want.pid || g.Processes != want.processes || !slices.Equal(g.Queues, []string{want.queue}) || g.Start.IsZero() {
			t.Errorf("%+v, want %+v", g, want)
		}
	}
	delete(w.table.Processes, 10)
	if again := w.celeryWorkers(); &again[0] != &got[0] {
		t.Error("looked again though the table has not changed")
	}
}
