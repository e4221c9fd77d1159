package e2e_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// restLooks is how many times the states of idle workers are read.
const restLooks = 20

// kindsOfStacks are the kinds of servers, each with all kinds of threads.
func kindsOfStacks(t *testing.T) []stackOf {
	t.Helper()
	return []stackOf{
		{kind: "gunicorn sync", server: "gunicorn", workers: 2, args: []string{"-w", "2"}},
		{kind: "gunicorn sync, two binds", server: "gunicorn", workers: 1, args: []string{"-b", fmt.Sprintf("127.0.0.1:%d", freePort(t))}},
		{kind: "gunicorn gthread", server: "gunicorn", workers: 1, args: []string{"--threads", "3"}},
		{kind: "uWSGI", server: "uwsgi", workers: 2, args: []string{"--processes", "2"}},
		{kind: "uWSGI threads", server: "uwsgi", workers: 2, args: []string{"--processes", "2", "--threads", "3", "--thunder-lock"}},
		{kind: "waitress", server: "waitress", workers: 1},
		{kind: "uvicorn", server: "uvicorn", workers: 1, loop: true},
		{kind: "flask debug", server: "flask", workers: 1},
	}
}

// TestTruthIdleWithBackgroundThreads checks that threads that block in a read, a poll, a
// wait or a queue, or that wake up now and then, do not make a worker busy. A request
// does, with its own age, and makes the worker stuck when it lasts too long.
func TestTruthIdleWithBackgroundThreads(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uwsgi", "uvicorn", "waitress-serve", "redis-server")
	all := stacks(t, plainRedis(t), kindsOfStacks(t)...)
	x := watch(t, export{config: shortTimes(all), args: []string{"--no-collector.host", "--no-collector.disk"}})
	rest := func() error { return allRest(x.scrape(t), all) }
	eventually(t, 20*time.Second, rest)
	repeat(t, restLooks, 150*time.Millisecond, rest)
	eventually(t, 10*time.Second, func() error { // the status may be of the time of the start
		says, _ := x.verdicts(t)
		for name, v := range says {
			if v.Health.Overall != "healthy" {
				return fmt.Errorf("%s is %s: %v", name, v.Health.Overall, v.Health.Recommendations)
			}
		}
		return nil
	})
	t.Run("slow request", func(t *testing.T) {
		var wg sync.WaitGroup
		long := min(scaled(slowTime), 45*time.Second)
		for _, s := range all {
			wg.Go(func() { s.slowRequest(t, x, long) })
		}
		repeat(t, 10, time.Second, func() error { // as Prometheus does
			x.scrape(t)
			return nil
		})
		wg.Wait()
	})
	eventually(t, 10*time.Second, rest)
}

// slowTime is how long the slow request takes on a machine with little to do: two
// intervals of the exporter and more.
const slowTime = 14 * time.Second

// slowRequest sends one slow request and checks what the exporter reports of it meanwhile.
func (s *stack) slowRequest(t *testing.T, x *exporter, long time.Duration) {
	patient := app{client: clientOf(t, s.listen)}
	patient.client.Timeout = 2*long + time.Minute
	began, done := time.Now(), make(chan struct{})
	go func() { defer close(done); patient.get(fmt.Sprintf("/sleep/%.1f", long.Seconds())) }()
	busy, stuck := false, false
	for {
		select {
		case <-done:
			if !busy && !stuck || stuck == s.loop { // a status of 5 s ago may miss the time before it was stuck
				t.Errorf("%s: seen busy: %v, seen stuck: %v", s.kind, busy, stuck)
			}
			return
		case <-time.After(300 * time.Millisecond):
		}
		says, at := x.verdicts(t)
		age := at.Sub(began).Seconds() // of the request, when the exporter looked
		if age < 0 || age > long.Seconds()-0.5 {
			continue
		}
		late, early := scaled(2*time.Second).Seconds(), scaled(500*time.Millisecond).Seconds() // of the begin, and of the look
		for _, w := range says[s.name].Workers {
			switch w.State {
			case "busy", "stuck":
				busy, stuck = busy || w.State == "busy", stuck || w.State == "stuck"
				if !s.loop && (w.Seconds > age+early || w.Seconds < age-late) {
					t.Errorf("%s: a request of %.1f s is %q for %.1f s", s.kind, age, w.State, w.Seconds)
				}
			case "idle":
			default:
				t.Errorf("%s: worker %d is %q", s.kind, w.Slot, w.State)
			}
		}
	}
}
