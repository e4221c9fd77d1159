package actions

import (
	"context"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/proc"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// SetSize sets after how many bytes the journal begins its next file.
func (s *Store) SetSize(n int64) { s.size = n }

// FillDisk lets each write of the journal fail with ENOSPC, until the function
// that it gives is called.
func (r *Runner) FillDisk() (free func()) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	j := r.store.journal
	r.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.out = full
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.out = j.file
		_ = full.Close()
	}
}

// GunicornAt finds gunicorn on a command line of Python.
func GunicornAt(argv []string) int { return gunicornAt(argv) }

// Lazy reports whether workers of uWSGI may load the app themselves.
func Lazy(l proc.Launch) bool { return lazy(l) }

// Preloaded reports whether workers of gunicorn have the app from their master.
func Preloaded(l proc.Launch) bool {
	return importer{server: proc.Gunicorn}.preloaded(l)
}

// CheckOf returns the program that imports an app of gunicorn whose master and
// worker run as uid, and its environment. argv is that of the configuration.
func CheckOf(l proc.Launch, uid uint32, confined error, argv ...string) (path string, args, env []string, refused string) {
	who := procid.Process{Credentials: procid.Credentials{UIDs: [4]uint32{uid, uid, uid, uid}}}
	p, refused := importer{server: proc.Gunicorn, argv: argv}.check(l, owners{master: who, worker: who, confined: confined})
	if p == nil {
		return "", nil, nil, refused
	}
	return p.path, p.argv, p.env, refused
}

// RootEnv returns what a check that runs as root gets of an environment.
func RootEnv(env []string) []string { return rootEnv(env) }

// Covers returns why an approval of one plan does not cover another.
func Covers(approved, p action.Plan) string {
	return approvalOf(*approved.Bounded()).covers(*p.Bounded())
}

// LastLine returns the last line of an output as it is shown.
func LastLine(s string) string { return lastLine(s) }

// Hand makes the JSON for a program or a server.
func Hand(a action.Alert) ([]byte, error) { return hand("r-1", "run_command", "command", a) }

// Backoff is how long a queue is left alone after n restarts.
func Backoff(n int) time.Duration { return backoff(n) }

// IsRQ reports whether a command line is that of a worker of RQ.
func IsRQ(l proc.Launch) bool { return isRQ(l) }

// TooSoon says why a queue that was restarted at these times is left alone.
func TooSoon(restarts []time.Time, now time.Time) string { return tooSoon(restarts, now) }

// ActsOf returns what a plan is told of what was done before.
func ActsOf(ctx context.Context, target string) []time.Time { return actsOf(ctx, target) }

// SetJournalSize sets after how many bytes the journal begins its next file.
func (r *Runner) SetJournalSize(n int64) {
	r.mu.Lock()
	j := r.store.journal
	r.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.size = n
}

// SetBudget sets how many acts the budget allows, and returns how many it allowed.
func (r *Runner) SetBudget(n int) (before int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := *r.set
	before, set.Budgets.MaxRuns = set.Budgets.MaxRuns, n
	r.set = &set
	return before
}

// Disconnected says why a process is not believed to be connected to a Redis.
func Disconnected(held proc.Held, at redis.Place, name string) string {
	return disconnected(held, workerClaim{at: at, name: name})
}
