package actiontest

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// masterWorkers is how many workers a helper that is a master starts.
const masterWorkers = 3

// master starts three workers that ignore the signals after which a worker ends by
// itself, with the files that it was started with: the listener, and one for each
// worker. They end with it.
func master(ready string) {
	runtime.LockOSThread() // a child ends with the thread that started it
	for fd := range 4 + masterWorkers {
		syscall.CloseOnExec(fd) // a worker has the file of no other one
	}
	for i := range masterWorkers {
		cmd := exec.Command(os.Args[0], "sleep", "deaf", ready) //nolint:noctx // it ends with this process
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "listener"), os.NewFile(uintptr(4+i), "worker")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			os.Exit(1)
		}
		go func() { _ = cmd.Wait() }() // so that it is no zombie
	}
	time.Sleep(5 * time.Minute)
}

// deaf makes this process ignore the signals after which a worker ends by itself.
func deaf(ready string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
	writeReady(ready)
}

// StartMaster starts a master with three workers that ignore TERM and HUP, and with
// options on its command line.
func StartMaster(t *testing.T, server cmdline.Server, options ...string) *Processes {
	t.Helper()
	ready := t.TempDir() + "/ready"
	files := []*os.File{Listener(t)}
	for range masterWorkers {
		files = append(files, WorkerFile(t, server))
	}
	m := StartHelper(t, append([]string{"sleep", "master", ready}, options...), files...)
	WaitFor(t, func() bool { b, _ := os.ReadFile(ready); return len(b) == masterWorkers })
	app := discovery.App{Name: "shop", Up: true, Server: server, PID: m.Process.Pid}
	for slot, pid := range procid.Children("/proc", m.Process.Pid) {
		app.Workers = append(app.Workers, discovery.Worker{
			Process: discovery.Process{PID: pid, RSS: 50 * MiB}, Slot: slot, Start: time.Now().Add(-time.Hour), State: discovery.Idle,
		})
	}
	if len(app.Workers) != masterWorkers {
		t.Fatal(strconv.Itoa(len(app.Workers)) + " workers")
	}
	return &Processes{Snap: discovery.Snapshot{Time: time.Now(), Apps: []discovery.App{app}}}
}
