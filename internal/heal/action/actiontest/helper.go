// Package actiontest has what the tests of several actions share.
package actiontest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// Script returns the path of a program for a shell, which it writes to a directory that
// only we may write to.
func Script(t *testing.T, lines ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "resp-actions-") //nolint:usetesting // ours alone, whatever the umask
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "program")
	if err := WriteProgram(file, []byte("#!/bin/sh\n"+strings.Join(lines, "\n")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// WriteProgram writes an executable file. It lets no process start meanwhile: a child of
// a parallel test would have the file open for writing until its exec, and the kernel
// would refuse to run it (ETXTBSY, "text file busy").
func WriteProgram(path string, code []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, code, mode)
}

// Payloads returns label values that have a meaning in a shell, SQL, a template, a path
// or a URL.
func Payloads() map[string]string {
	return map[string]string{
		"alertname": "Sick; touch /tmp/pwned", "a": "$(id)", "b": "`id`", "c": "'; DROP TABLE users; --", "d": "{{ .Secret }}${jndi:ldap://x}",
		"e": "../../../etc/passwd", "f": "http://evil/?x=1\r\nX-Evil: 1", "g": "line\nbreak\x00nul\x1b[31m", "h": strings.Repeat("x", 10_000),
		"i": "\xff\xfe", "--version": "1", "bad name": "1", "PATH": "/evil", "LD_PRELOAD": "/evil.so",
	}
}

// Command plans and applies the action, and returns the plan, how many victims are done,
// and the error of Apply. The test fails unless the plan has one victim and is not refused.
func Command(t *testing.T, ctx context.Context, a action.Action, labels map[string]string) (action.Plan, int, error) { //nolint:revive // t is first in tests
	t.Helper()
	p, err := a.Plan(ctx, action.PlanRequest{Alert: action.Alert{Labels: labels}, RunID: "r-1"})
	if err != nil || !p.Refused.IsZero() || p.Total != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	n, err := a.Apply(ctx, p)
	return p, n, err
}

// Processes is what the exporter sees of the processes.
type Processes struct {
	Snap discovery.Snapshot
	Err  error

	signals string // the file with the signals of the master, see StartMaster
}

// Signals returns the signals that a master of [StartMaster] got, TTIN and TTOU, in order,
// one on each line; "" for none.
func (f *Processes) Signals() string {
	b, _ := os.ReadFile(f.signals) // it is made with the first
	return strings.TrimSpace(string(b))
}

// Snapshot implements [process.Snapshotter]: a copy of f.Snap, and f.Err.
func (f *Processes) Snapshot(context.Context) (*discovery.Snapshot, error) {
	s := f.Snap
	return &s, f.Err
}

// StartWorkers starts three workers of an app, shop, whose master is this process, and
// returns what is seen of them and the commands, by slot. Each worker has the open files
// that prove that it is one.
func StartWorkers(t *testing.T, server cmdline.Server, does ...string) (*Processes, []*exec.Cmd) {
	t.Helper()
	app := discovery.App{Name: "shop", Up: true, Server: server, PID: os.Getpid()}
	listener := Listener(t)
	var kids []*exec.Cmd
	for slot := range 3 {
		c := StartHelper(t, append([]string{"sleep"}, does...), listener, WorkerFile(t, server))
		kids = append(kids, c)
		app.Workers = append(app.Workers, discovery.Worker{
			Process: discovery.Process{PID: c.Process.Pid, RSS: uint64(50+10*slot) * MiB}, Slot: slot, Start: time.Now().Add(-time.Hour), State: discovery.Idle,
		})
	}
	return &Processes{Snap: discovery.Snapshot{Time: time.Now(), Apps: []discovery.App{app}}}, kids
}

// StartMaster starts the master of an app, shop, with options on its command line and three
// workers, and returns what is seen of them: of the role "deaf" the workers ignore TERM and
// HUP, of "exec" they become another program at a TERM. It records the signals TTIN and
// TTOU, and does nothing about them.
func StartMaster(t *testing.T, server cmdline.Server, role string, options ...string) *Processes {
	t.Helper()
	ready := t.TempDir() + "/ready"
	files := []*os.File{Listener(t)}
	for range masterWorkers {
		files = append(files, WorkerFile(t, server))
	}
	m := StartHelper(t, append([]string{"sleep", "master", ready, role}, options...), files...)
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
	return &Processes{Snap: discovery.Snapshot{Time: time.Now(), Apps: []discovery.App{app}}, signals: ready + ".signals"}
}

// WaitFor waits for something that happens soon, on a busy machine too.
func WaitFor(t *testing.T, f func() bool) {
	t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("it did not happen")
}

// MiB is 2^20 bytes.
const MiB = 1 << 20

// Changed returns a connection as f changes it.
func Changed(c mysql.Connection, f func(*mysql.Connection)) mysql.Connection {
	f(&c)
	return c
}

// IDs returns the numbers of a plan's victims, in their order; 0 for one without a number.
func IDs(p action.Plan) (out []uint64) {
	for _, v := range p.Victims {
		id, _ := strconv.ParseUint(v.ID, 10, 64)
		out = append(out, id)
	}
	return out
}

// Alive reports whether a process is there, and no zombie. It is false too if pid is no
// number, or the process cannot be read.
func Alive(pid string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		return false
	}
	id, err := procid.Identify("/proc", n)
	return err == nil && id.State != 'Z'
}

// ErrDown is the error of a server that does not answer.
var ErrDown = errors.New("does not answer")

// RandomConnection returns any entry of a list of threads; half of them
// could be leaked.
func RandomConnection(r *rand.Rand, id uint64) mysql.Connection {
	if r.IntN(2) == 0 {
		return Asleep(id, 180*r.Float64())
	}
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	return mysql.Connection{
		ID:            id,
		User:          pick("shop", "shop", "shop", "Shop", "shop2", "root", "backup", "repl", "resp", "", "system user", "event_scheduler", "unauthenticated user"),
		Host:          pick("127.0.0.1:4711", "localhost", "", "10.0.0.9:1", "%"),
		Command:       pick("Sleep", "Sleep", "Sleep", "Query", "Execute", "Daemon", "Binlog Dump", "Binlog Dump GTID", "Slave_IO", "Slave_SQL", "Slave_worker", "Connect", "Killed", "sleep", ""),
		State:         pick("", "", "Rollback", "Rollback trx", "Waiting on empty queue", "Waiting for table metadata lock", "User sleep"),
		Time:          time.Duration(r.Int64N(int64(3 * time.Minute))),
		Query:         uint64(r.IntN(1000)),
		Own:           r.IntN(20) == 0,
		InTransaction: r.IntN(3) > 0,
		Transaction:   "1",
		TrxState:      pick("RUNNING", "RUNNING", "RUNNING", "LOCK WAIT", "ROLLING BACK", "COMMITTING"),
		Rows:          uint64(r.IntN(200)),
	}
}

// Asleep returns a connection of the app that sleeps in a transaction for so many seconds.
func Asleep(id uint64, seconds float64) mysql.Connection {
	return mysql.Connection{
		ID: id, User: "shop", Host: fmt.Sprintf("127.0.0.1:%d", 40000+id), Command: "Sleep", Time: time.Duration(seconds * float64(time.Second)),
		Query: 1000 + id, InTransaction: true, Transaction: strconv.FormatUint(id, 10), TrxState: "RUNNING", Rows: 1,
	}
}
