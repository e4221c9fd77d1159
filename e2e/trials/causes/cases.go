package causes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// undo ends a fault.
type undo = func() error

// Case is one fault, or a healthy app.
type Case struct {
	Name string
	Want string // the cause; "": the app is healthy

	kind             Kind
	workers, threads int
	pool             int // connections of a worker's pool; 0: 5
	poolTimeout      int
	connections      int // of the database; 0: 100
	rate             float64
	base             mode
	silent           bool   // it reports no requests
	more             string // lines of the exporter's configuration
	remembers        bool   // the exporter has a state directory
	heavy            bool   // it loads the processors: it runs alone
	before           func(ctx context.Context, r *rig) error
	fault            func(ctx context.Context, r *rig) (undo, error)
}

// Heavy reports whether the case loads the processors.
func (c *Case) Heavy() bool { return c.heavy }

// poolSize returns the size of the app's connection pool, 5 if the case does not set it.
func (c *Case) poolSize() int {
	if c.pool > 0 {
		return c.pool
	}
	return 5
}

// modes returns the fault of requests that do something else.
func modes(m mode) func(context.Context, *rig) (undo, error) {
	return func(_ context.Context, r *rig) (undo, error) {
		return func() error { return r.setMode(nil) }, r.setMode(m)
	}
}

// silences returns a fault that sets a mode of the app. Its undo also closes the
// connections to the server that never answers: otherwise the requests in flight wait for
// it for a minute.
func silences(m mode) func(context.Context, *rig) (undo, error) {
	return func(ctx context.Context, r *rig) (undo, error) {
		return func() error { return errors.Join(r.setMode(nil), r.upstream.hangUp(ctx)) }, r.setMode(m)
	}
}

// leaking returns a fault that sets a mode of the app. Its undo kills the workers, as a
// person would: otherwise the requests in the accept queue wait for the pool one after
// another, each for its timeout. It closes their connections over one that was opened before the leak, because the
// server may be full.
func leaking(m mode) func(context.Context, *rig) (undo, error) {
	return func(ctx context.Context, r *rig) (undo, error) {
		c, err := r.root.Conn(ctx)
		if err != nil {
			return nil, err
		}
		return func() error {
			defer func() { _ = c.Close() }()
			workers, err := run.Children(r.master.PID())
			err = errors.Join(err, r.setMode(nil))
			for _, pid := range workers {
				err = errors.Join(err, syscall.Kill(pid, syscall.SIGKILL))
			}
			return errors.Join(err, killIdle(ctx, c))
		}, r.setMode(m)
	}
}

// killIdle ends the connections of the app that sleep.
func killIdle(ctx context.Context, c *sql.Conn) error {
	rows, err := c.QueryContext(ctx, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'trial' AND COMMAND = 'Sleep'")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var ids []int
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		_, _ = c.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // it may have ended
	}
	return nil
}

// shells returns the fault of a shell that holds something.
func shells(statements ...string) func(context.Context, *rig) (undo, error) {
	return func(ctx context.Context, r *rig) (undo, error) {
		free, err := r.shell(ctx, statements...)
		return func() error { free(); return nil }, err
	}
}

// signals returns the fault of a server that is stopped.
func signals(of func(r *rig) interface{ Signal(syscall.Signal) error }) func(context.Context, *rig) (undo, error) {
	return func(_ context.Context, r *rig) (undo, error) {
		p := of(r)
		return func() error { return p.Signal(syscall.SIGCONT) }, p.Signal(syscall.SIGSTOP)
	}
}

// database returns the database server, to be signalled.
func database(r *rig) interface{ Signal(syscall.Signal) error } { return r.db }

// cache returns the Redis server, to be signalled.
func cache(r *rig) interface{ Signal(syscall.Signal) error } { return r.redisAt }

// killed kills the database; undo starts it again.
func killed(ctx context.Context, r *rig) (undo, error) {
	r.db.Kill()
	return func() error { return r.db.Start(ctx) }, nil
}

// full opens all connections of a database as a foreign client; undo closes them.
func full(ctx context.Context, r *rig) (undo, error) {
	c, err := r.root.Conn(ctx)
	if err != nil {
		return nil, err
	}
	frees := []func(){func() { _ = c.Close() }}
	for range 8 { // the app opens new ones between the two, until it gets none
		if err := killIdle(ctx, c); err != nil {
			return nil, err
		}
		for range 200 {
			free, err := r.shell(ctx, "SELECT 1")
			if err != nil {
				break
			}
			frees = append(frees, free)
		}
	}
	return func() error {
		for _, f := range frees {
			f()
		}
		return nil
	}, nil
}

// metadata starts an ALTER that waits for a transaction; all other statements wait for
// the ALTER.
func metadata(ctx context.Context, r *rig) (undo, error) {
	free, err := r.shell(ctx, "USE trial", "BEGIN", "SELECT * FROM things WHERE id = 1")
	if err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(ctx)
	c, err := r.root.Conn(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	r.calls.Go(func() {
		_, _ = c.ExecContext(inner, "ALTER TABLE trial.things ADD COLUMN IF NOT EXISTS m INT")
		_ = c.Close()
	})
	return func() error { free(); cancel(); return nil }, nil
}

// repeated returns the fault of a command of Redis that a foreign client sends again and
// again.
func repeated(command string) func(context.Context, *rig) (undo, error) {
	return func(ctx context.Context, r *rig) (undo, error) {
		inner, cancel := context.WithCancel(ctx)
		r.calls.Go(func() {
			for inner.Err() == nil {
				if r.redisDo(command) != nil {
					sleep(inner, 50*time.Millisecond)
				}
			}
		})
		return func() error { cancel(); return nil }, nil
	}
}

// grouped puts the app into a control group with a CPU limit that it does not reach, as a
// container or a unit has one from its start on.
func grouped(_ context.Context, r *rig) error {
	g, err := r.group("cpu")
	if err != nil {
		return err
	}
	if err := limitCPU(g, 8); err != nil {
		return err
	}
	return r.join(g)
}

// limitCPU sets how many cores a control group may use.
func limitCPU(group string, cores float64) error {
	return os.WriteFile(filepath.Join(group, "cpu.cfs_quota_us"), []byte(strconv.Itoa(int(cores*100_000))), 0o600)
}

// throttled returns the fault of a lower limit of the control group of the app, see grouped.
func throttled(cores float64) func(context.Context, *rig) (undo, error) {
	return func(_ context.Context, r *rig) (undo, error) {
		return func() error { return limitCPU(r.groups[0], 8) }, limitCPU(r.groups[0], cores)
	}
}

// group makes a control group of version 1.
func (r *rig) group(controller string) (string, error) {
	g := filepath.Join("/sys/fs/cgroup", controller, fmt.Sprintf("causes-%d", r.port))
	if err := os.Mkdir(g, 0o755); err != nil {
		return "", err
	}
	r.groups = append(r.groups, g)
	return g, nil
}

// join puts the processes of the app into a group.
func (r *rig) join(group string) error {
	pids := []int{r.master.PID()}
	for i := 0; i < len(pids); i++ {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i]))
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// slowDisk limits the app's reads by a control group.
func slowDisk(_ context.Context, r *rig) (undo, error) {
	file := filepath.Join(r.dir, "large")
	b := make([]byte, 1<<20)
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	for range 64 {
		if _, err := f.Write(b); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	_ = f.Close()
	g, err := r.group("blkio")
	if err != nil {
		return nil, err
	}
	var st syscall.Stat_t
	if err := syscall.Stat(r.dir, &st); err != nil {
		return nil, err
	}
	limit := filepath.Join(g, "blkio.throttle.read_bps_device")
	set := func(v int) error {
		return os.WriteFile(limit, fmt.Appendf(nil, "%d:%d %d", st.Dev>>8&0xfff, st.Dev&0xff, v), 0o600)
	}
	if err := r.join(g); err != nil {
		return nil, err
	}
	if err := set(400_000); err != nil {
		return nil, err
	}
	return func() error { _ = set(0); return r.setMode(nil) }, r.setMode(mode{"reads": 2, "file": file})
}

// clients returns the fault of clients that are slow.
func clients(n int, m mode, one func(*rig, context.Context)) func(context.Context, *rig) (undo, error) {
	return func(ctx context.Context, r *rig) (undo, error) {
		inner, cancel := context.WithCancel(ctx)
		for range n {
			r.calls.Go(func() {
				for inner.Err() == nil {
					one(r, inner)
					sleep(inner, 200*time.Millisecond)
				}
			})
		}
		return func() error { cancel(); return r.setMode(nil) }, r.setMode(m)
	}
}

// rates returns the fault of more requests than the app can handle.
func rates(rate float64) func(context.Context, *rig) (undo, error) {
	return func(_ context.Context, r *rig) (undo, error) {
		r.load.set(rate)
		return func() error { r.load.set(r.c.rate); return nil }, nil
	}
}

// nothing injects no fault.
func nothing(context.Context, *rig) (undo, error) { return nil, nil }

// stuck starts a worker of RQ for the app's queue, which has a task that does not end.
func stuck(ctx context.Context, r *rig) error {
	spec := run.Spec{Name: "rq", Path: "rq", Args: []string{"worker", "--url", r.redisURL(), "jobs"}, Env: []string{"PYTHONPATH=" + r.dir}}
	if _, err := r.start(ctx, spec, func() error { return nil }); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "rq", "enqueue", "--url", r.redisURL(), "--queue", "jobs", "time.sleep", ":600").CombinedOutput()
	if err != nil {
		return fmt.Errorf("rq enqueue: %w: %s", err, out)
	}
	return nil
}

// redisURL returns the URL of the Redis.
func (r *rig) redisURL() string { return fmt.Sprintf("redis://127.0.0.1:%d", r.redis) }
