package e2e_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The rights of docs/redis.md for background tasks, in addition to those of every user.
// QUEUE stands for a queue of Celery.
const (
	rqRights      = "+llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget %R~rq:*"
	restartRights = "+client|list" // of docs/actions.md, for restart_task
	celeryRights  = "+llen +lrange +hlen +zrangebyscore %R~unacked %R~unacked_index %R~QUEUE %R~QUEUE??[1-9]"
)

// taskApp is an app of the test's own that leaves tasks to RQ or Celery.
type taskApp struct {
	t     *testing.T
	redis *redisServer
	dir   string
	env   []string
}

// jobs is the source of the app's tasks. The RQ worker sends a heartbeat every second, and
// is considered lost after a few, not after 90 seconds.
const jobs = `
import os, sys, time
from rq import Queue, Worker
import redis
def nap(seconds, note=""): time.sleep(seconds)
def boom(): raise ValueError("on purpose")
class Hasty(Worker):
    def heartbeat(self, timeout=None, pipeline=None): super().heartbeat(8, pipeline=pipeline)
    def get_heartbeat_ttl(self, job): return int(os.environ["JOB_TTL"])
if __name__ == "__main__":
    import jobs
    c = redis.Redis.from_url(os.environ["BROKER"])
    if sys.argv[1] == "worker":
        jobs.Hasty([Queue(sys.argv[2], connection=c)], connection=c, job_monitoring_interval=1, default_worker_ttl=30).work()
    else:
        for what in sys.argv[2:]:
            Queue(sys.argv[1], connection=c).enqueue(jobs.boom if what == "boom" else jobs.nap, *([] if what == "boom" else [float(what), "secretnote"]), job_timeout=1200)
`

// celeryApp publishes what its arguments say, QUEUE PRIORITY SENT KILOBYTES
// SECONDS each; SENT is how long ago the message was sent, 0 not to say so.
const celeryApp = `
import os, sys, time
from celery import Celery
app = Celery("tasks", broker=os.environ["BROKER"])
@app.task
def nap(seconds, note=""): time.sleep(seconds)
if __name__ == "__main__":
    import tasks
    for queue, priority, sent, kilobytes, seconds in zip(*[iter(sys.argv[1:])]*5):
        more = {"timestamp": int(time.time()) - int(sent)} if int(sent) else {}
        tasks.nap.apply_async((float(seconds), "secretnote" + "x" * 1024 * int(kilobytes)), queue=queue, priority=int(priority), **more)
`

func newTaskApp(t *testing.T) *taskApp {
	t.Helper()
	need(t, python, "rq", "celery")
	b := &taskApp{t: t, redis: startRedis(t), dir: openDir(t)}
	write(t, filepath.Join(b.dir, "jobs.py"), jobs)
	write(t, filepath.Join(b.dir, "tasks.py"), celeryApp)
	// Debian's programs begin with "env python3": not another one on the PATH.
	b.env = []string{fmt.Sprintf("BROKER=redis://127.0.0.1:%d/0", b.redis.port), "PYTHONPATH=" + b.dir, "C_FORCE_ROOT=1", "JOB_TTL=90", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"}
	return b
}

// grant returns the exporter's user more rights.
func (b *taskApp) grant(rights string) {
	b.t.Helper()
	b.redis.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(rights)...)...)
}

// grantCelery grants the user the rights for some queues of Celery.
func (b *taskApp) grantCelery(queues ...string) {
	b.t.Helper()
	for _, q := range queues {
		b.grant(strings.ReplaceAll(celeryRights, "QUEUE", q))
	}
}

// python runs Debian's Python in the app's folder until the test ends.
func (b *taskApp) python(name string, args ...string) *run.Proc {
	b.t.Helper()
	return start(b.t, run.Spec{Name: name, Path: python, Args: args, Dir: b.dir, Env: b.env})
}

// finish runs it until it ends.
func (b *taskApp) finish(args ...string) {
	b.t.Helper()
	p := b.python("client", args...)
	<-p.Done()
	if err := p.Err(); err != nil && !strings.HasSuffix(err.Error(), "ended") {
		b.t.Fatalf("%v\n%s", err, p.Output(2000))
	}
}

// enqueue puts jobs of RQ into a queue: seconds to sleep, or boom.
func (b *taskApp) enqueue(queue string, what ...string) {
	b.t.Helper()
	b.finish(append([]string{"jobs.py", queue}, what...)...)
}

// publish sends tasks of Celery: queue, priority, age, kilobytes and seconds of each.
func (b *taskApp) publish(args ...string) {
	b.t.Helper()
	b.finish(append([]string{"tasks.py"}, args...)...)
}

// celery starts a worker of Celery with two processes.
func (b *taskApp) celery(queues ...string) *run.Proc {
	b.t.Helper()
	return b.python("celery", "-m", "celery", "-A", "tasks", "worker", "-c", "2", "-Q", strings.Join(queues, ","), "--without-gossip", "--without-mingle")
}

// number returns the number that a command prints.
func (b *taskApp) number(command string, args ...string) float64 {
	b.t.Helper()
	s := b.redis.cli(command, args...)
	n, err := strconv.ParseFloat(strings.TrimPrefix(s, "(integer) "), 64)
	if err != nil {
		b.t.Fatalf("%s %q: %q", command, args, s)
	}
	return n
}

// watch starts an exporter for one app with these entries of tasks.
func (b *taskApp) watch(app string, tasks ...string) *exporter {
	b.t.Helper()
	return watch(b.t, export{config: redisSection(b.t, "broker", b.redis.url()) + appWithTasks(app, tasks...)})
}

func appWithTasks(app string, tasks ...string) string {
	return fmt.Sprintf("apps: [{name: %s, match: {cmdline: %s}, tasks: [%s]}]\n", app, app, strings.Join(tasks, ", "))
}

func tasksOf(kind string, queues ...string) string {
	return fmt.Sprintf("{type: %s, redis: broker, queues: [%s]}", kind, strings.Join(queues, ", "))
}

// tasksReason returns an error unless the collector has that reason.
func tasksReason(m metrics, reason string) error {
	available := 0.0
	if reason == "ok" {
		available = 1
	}
	return m.want(available, "resp_collector_available", "collector=tasks", "reason="+reason)
}

// between returns an error unless there is such a series, with a value in bounds.
func (m metrics) between(low, high float64, name string, pairs ...string) error {
	v, ok := m.sum(name, pairs...)
	if !ok || v < low || v > high {
		return fmt.Errorf("%s%v is %v (%t), want %v to %v", name, pairs, v, ok, low, high)
	}
	return nil
}

// lacks is an error if there is such a series.
func (m metrics) lacks(name string, pairs ...string) error {
	if v, ok := m.sum(name, pairs...); ok {
		return fmt.Errorf("%s%v is there: %v", name, pairs, v)
	}
	return nil
}

// killAll kills a process and its children, which may be in other process groups.
func killAll(t *testing.T, pid int) {
	t.Helper()
	children, err := run.Children(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(children, pid) {
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}
