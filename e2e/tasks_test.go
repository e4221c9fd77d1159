package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTasksRightsAreDocumented compares the rights of the documentation with those of the
// tests.
func TestTasksRightsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{rqRights, strings.ReplaceAll(celeryRights, "QUEUE", "celery")} {
		if !strings.Contains(string(page), "\nACL SETUSER resp "+line+"\n") {
			t.Errorf("docs/redis.md does not name the rights %q", line)
		}
	}
}

// TestTasksRQ compares the numbers of waiting, running and failed jobs and of workers with
// those of the RQ server.
func TestTasksRQ(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	app := unique("shop")
	b.enqueue("default", "600", "601", "602") // the first one outlasts the test
	x := b.watch(app, tasksOf("rq", "high", "default"))
	of := func(queue string) []string { return []string{"app=" + app, "queue=" + queue} }
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(tasksReason(m, "ok"),
			m.want(3, "resp_task_queue_length", of("default")...), m.between(0.001, 600, "resp_task_oldest_age_seconds", of("default")...),
			m.want(0, "resp_task_workers", of("default")...), m.lacks("resp_task_worker_heartbeat_age_seconds"),
			m.want(0, "resp_task_queue_length", of("high")...), m.lacks("resp_task_oldest_age_seconds", of("high")...))
	})
	b.enqueue("high", "boom", "boom")
	worker := b.python("rq", "/usr/bin/rq", "worker", "-u", fmt.Sprintf("redis://127.0.0.1:%d/0", b.redis.port), "high", "default")
	t.Cleanup(func() { killAll(t, worker.PID()) }) // with the process of the job, which has a group of its own
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.want(b.number("LLEN", "rq:queue:default"), "resp_task_queue_length", of("default")...),
			m.want(2, "resp_task_queue_length", of("default")...),
			m.want(1, "resp_task_running", of("default")...), m.want(0, "resp_task_orphaned", of("default")...),
			m.want(0, "resp_task_running", of("high")...), m.want(2, "resp_task_failed", of("high")...), m.want(0, "resp_task_failed", of("default")...),
			m.want(b.number("SCARD", "rq:workers:high"), "resp_task_workers", of("high")...), m.want(1, "resp_task_workers", of("default")...),
			m.between(0, 60, "resp_task_worker_heartbeat_age_seconds", of("default")...))
	})
	if log := b.redis.cli("ACL", "LOG"); log != "" {
		t.Errorf("refused: %s", log)
	}
	if n := b.redis.ours(); n != 1 {
		t.Errorf("%d connections", n)
	}
	keepsRedisSecrets(t, x, "secretnote", "rq:job", "rq:worker")
}

// TestTasksRQOrphan kills a worker during a job and checks that the orphan is found: by
// the worker, which is gone, or by the job, whose deadline is no longer extended.
func TestTasksRQOrphan(t *testing.T) {
	t.Parallel()
	for name, ttl := range map[string]string{"worker is gone": "600", "job is given up": "4"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTaskApp(t)
			b.grant(rqRights)
			b.env = append(b.env, "JOB_TTL="+ttl)
			app := unique("shop")
			b.enqueue("default", "600")
			worker := b.python("worker", "jobs.py", "worker", "default")
			x := b.watch(app, tasksOf("rq", "default"))
			eventually(t, 30*time.Second, func() error {
				m := x.scrape(t)
				return all(m.want(1, "resp_task_running", "app="+app), m.want(0, "resp_task_orphaned", "app="+app), m.want(1, "resp_task_workers", "app="+app))
			})
			killAll(t, worker.PID())
			eventually(t, 30*time.Second, func() error {
				m := x.scrape(t)
				return all(m.want(0, "resp_task_running", "app="+app), m.want(1, "resp_task_orphaned", "app="+app), m.want(0, "resp_task_workers", "app="+app),
					m.lacks("resp_task_worker_heartbeat_age_seconds"), wants("started jobs", b.number("ZCARD", "rq:wip:default"), 1))
			})
		})
	}
}

// TestTasksCelery checks all priorities of a Celery queue, the messages that workers hold,
// and their processes.
func TestTasksCelery(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	app, mail, slow := unique("shop"), unique("mail"), unique("slow")
	b.grantCelery(mail, slow)
	b.publish(mail, "0", "0", "0", "0", mail, "4", "0", "0", "0", mail, "9", "0", "0", "0")
	x := b.watch(app, tasksOf("celery", mail, slow))
	of := func(queue string) []string { return []string{"app=" + app, "queue=" + queue} }
	age := func() float64 {
		v, _ := x.scrape(t).sum("resp_task_oldest_age_seconds", of(mail)...)
		return v
	}
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		parts := b.number("LLEN", mail) + b.number("LLEN", mail+"\x06\x163") + b.number("LLEN", mail+"\x06\x169")
		return all(tasksReason(m, "ok"), m.want(3, "resp_task_queue_length", of(mail)...), wants("parts", parts, 3),
			m.want(0, "resp_task_queue_length", of(slow)...), m.lacks("resp_task_oldest_age_seconds", of(slow)...), m.lacks("resp_task_workers"),
			m.lacks("resp_task_running"), m.want(0, "resp_task_unacked", "app="+app, "redis=broker"), m.lacks("resp_task_unacked_oldest_age_seconds"))
	})
	// These messages have no time of sending: their age counts from now on.
	first := age()
	eventually(t, 10*time.Second, func() error {
		if now := age(); now < first+1 || now > 600 {
			return fmt.Errorf("the age was %v, is %v", first, now)
		}
		return nil
	})
	b.publish(mail, "6", "5000", "0", "0")
	eventually(t, 10*time.Second, func() error {
		return x.scrape(t).between(5000, 5600, "resp_task_oldest_age_seconds", of(mail)...)
	})
	worker := b.celery(mail, slow)
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(0, "resp_task_queue_length", of(mail)...), m.lacks("resp_task_oldest_age_seconds", of(mail)...), m.want(0, "resp_task_unacked", "app="+app))
	})
	var long []string
	for range 14 {
		long = append(long, slow, "0", "0", "0", "600")
	}
	b.publish(long...)
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		held := b.number("HLEN", "unacked")
		return all(
			m.want(b.number("LLEN", slow), "resp_task_queue_length", of(slow)...), m.want(4, "resp_task_queue_length", of(slow)...),
			m.want(held, "resp_task_unacked", "app="+app), wants("prefetched", held, 8), m.between(0, 600, "resp_task_unacked_oldest_age_seconds", "app="+app),
			m.want(2, "resp_task_workers", of(slow)...), m.want(2, "resp_task_workers", of(mail)...))
	})
	if log := b.redis.cli("ACL", "LOG"); log != "" {
		t.Errorf("refused: %s", log)
	}
	worker.Stop()
	eventually(t, 10*time.Second, func() error { return x.scrape(t).want(0, "resp_task_workers", of(slow)...) })
	keepsRedisSecrets(t, x, "secretnote")
}

// TestTasksHugeMessage checks that a message of megabytes costs only the age of its queue.
func TestTasksHugeMessage(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	app, mail, huge := unique("shop"), unique("mail"), unique("huge")
	b.grantCelery(mail, huge)
	b.publish(huge, "0", "0", "3000", "0", mail, "0", "77", "100", "0")
	x := b.watch(app, tasksOf("celery", huge, mail))
	eventually(t, 10*time.Second, func() error { return tasksReason(x.scrape(t), "unsupported") })
	before := b.redis.info("total_connections_received")
	for range 20 {
		m := x.scrape(t)
		if err := all(tasksReason(m, "unsupported"), redisReason(m, "broker", "ok", 1), m.want(1, "resp_task_queue_length", "queue="+huge),
			m.lacks("resp_task_oldest_age_seconds", "queue="+huge), m.between(77, 677, "resp_task_oldest_age_seconds", "queue="+mail)); err != nil {
			t.Fatal(err)
		}
	}
	if after := b.redis.info("total_connections_received"); after != before+1 { // that of redis-cli
		t.Errorf("%v connections before, %v after", before, after)
	}
	if n := x.loggedLacks("tasks", "unsupported"); n != 1 {
		t.Errorf("%d lines of log", n)
	}
	if n := b.redis.ours(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestTasksStopped checks that a broker that hangs delays a scrape by at most 2 s, and
// that its metrics return within 5 s.
func TestTasksStopped(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	b.enqueue("default", "1")
	app := unique("shop")
	x := b.watch(app, tasksOf("rq", "default"))
	waits := func() error {
		m := x.scrape(t)
		return all(tasksReason(m, "ok"), redisReason(m, "broker", "ok", 1), m.want(1, "resp_task_queue_length", "app="+app))
	}
	eventually(t, 10*time.Second, waits)
	if err := b.redis.proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		began := time.Now()
		status, body, err := x.get("/metrics")
		if took := time.Since(began); err != nil || status != http.StatusOK || took > scaled(2*time.Second) {
			t.Errorf("status %d after %s, %v", status, took, err)
		}
		for _, line := range []string{`collector="tasks",reason="timeout"} 0`, `collector="redis",reason="timeout"} 0`, "resp_host_memory_usage_ratio "} {
			if !strings.Contains(body, line) {
				t.Errorf("scrape %d has no %s", i, line)
			}
		}
		if strings.Contains(body, "resp_task_queue_length{") {
			t.Errorf("scrape %d has a length", i)
		}
	}
	if err := b.redis.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, waits)
	eventually(t, 5*time.Second, func() error { return wants("connections", b.redis.ours(), 1) })
}

// TestTasksReasons checks that what prevents reading the queues has a reason, with the rule
// that grants a missing right.
func TestTasksReasons(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	x := b.watch(unique("shop"), tasksOf("rq", "default"), tasksOf("celery", "hunterqueue"))
	lacks := func(reason, right string) {
		t.Helper()
		eventually(t, 10*time.Second, func() error {
			m := x.scrape(t)
			s, err := x.status()
			return all(err, s.lacks("tasks", reason, right), tasksReason(m, reason), redisReason(m, "broker", "ok", 1))
		})
	}
	lacks("permission", "+llen")
	b.grant(strings.ReplaceAll(rqRights, "%R~rq:*", ""))
	lacks("permission", "%R~rq:*")
	b.grant(rqRights)
	lacks("permission", "%R~<queue>")
	b.grantCelery("hunterqueue")
	eventually(t, 10*time.Second, func() error { return tasksReason(x.scrape(t), "ok") })
	b.redis.cli("SET", "hunterqueue", "secretkey")
	lacks("failed", "")
	b.redis.proc.Stop()
	eventually(t, 10*time.Second, func() error { return tasksReason(x.scrape(t), "not_found") })
	keepsRedisSecrets(t, x, "hunterqueue??")
}

// TestTasksReload checks that a reload adds a queue at once, and removes one.
func TestTasksReload(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	b.enqueue("one", "1")
	b.enqueue("two", "1", "1")
	app := unique("shop")
	file := write(t, filepath.Join(t.TempDir(), "password"), redisPassword)
	section := redisSectionWith(file, "broker", b.redis.url())
	x := watch(t, export{config: section + appWithTasks(app, tasksOf("rq", "one"))})
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_task_queue_length", "app="+app), m.lacks("resp_task_queue_length", "queue=two"))
	})
	for i, queues := range [][]string{{"one", "two"}, {"two"}} {
		write(t, x.config, x.statsdSection()+section+appWithTasks(app, tasksOf("rq", queues...)))
		if err := x.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, func() error {
			m := x.scrape(t)
			if err := m.has("resp_task_queue_length", "queue=one"); (err == nil) != (i == 0) {
				return fmt.Errorf("queues %v: %w", queues, err)
			}
			return all(m.want(2, "resp_task_queue_length", "app="+app, "queue=two"), tasksReason(m, "ok"))
		})
	}
}

// TestTasksCost checks that a read of ten RQ queues and one Celery queue, all much longer
// than the part that is read, takes a Redis milliseconds, however long they are.
func TestTasksCost(t *testing.T) {
	t.Parallel()
	b := newTaskApp(t)
	b.grant(rqRights)
	b.grantCelery("long")
	var queues []string
	for i := range 10 {
		queues = append(queues, fmt.Sprintf("q%d", i))
		b.redis.cli("EVAL", "for i=1,10000 do redis.call('RPUSH', KEYS[1], 'job'..i); redis.call('ZADD', KEYS[2], 9e9, 'job'..i) end", "2", "rq:queue:"+queues[i], "rq:wip:"+queues[i])
	}
	b.redis.cli("EVAL", "for i=1,100000 do redis.call('RPUSH', KEYS[1], 'message'..i); redis.call('HSET', KEYS[2], i, 'message'..i) end", "2", "long", "unacked")
	app := unique("shop")
	x := b.watch(app, tasksOf("rq", queues...), tasksOf("celery", "long"))
	eventually(t, 10*time.Second, func() error { return x.scrape(t).want(100_000+10*10_000, "resp_task_queue_length", "app="+app) })
	const scrapes = 100
	before := cpu(t, b.redis.proc.PID())
	for range scrapes {
		if err := tasksReason(x.scrape(t, "?collect[]=tasks"), "ok"); err != nil {
			t.Fatal(err)
		}
	}
	each := (cpu(t, b.redis.proc.PID()) - before) / scrapes
	t.Logf("%.0f µs of Redis' main thread a scrape", each*1e6)
	if each > 5e-3 {
		t.Errorf("%.0f µs of Redis a scrape", each*1e6)
	}
}
