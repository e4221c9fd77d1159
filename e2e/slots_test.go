package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// counters keeps the highest value of each counter that must never decrease, by its
// labels.
type counters map[string]float64

// follow is an error when a counter is lower than before, or is gone.
func (c counters) follow(m metrics, app string) error {
	now := counters{}
	for _, name := range []string{"resp_app_cpu_seconds_total", "resp_worker_cpu_seconds_total", "resp_worker_restarts_total"} {
		m.each(name, []string{"app=" + app}, func(labels map[string]string, v float64) {
			now[key(name, labels)] += v
		})
	}
	var errs []error
	for k, before := range c {
		if after, ok := now[k]; ok && after < before {
			errs = append(errs, fmt.Errorf("%s went down from %v to %v", k, before, after))
		}
	}
	for k, v := range now {
		c[k] = max(c[k], v)
	}
	return errors.Join(errs...)
}

func key(name string, labels map[string]string) string {
	var pairs []string
	for k, v := range labels {
		if k != "pid" {
			pairs = append(pairs, k+"="+v)
		}
	}
	slices.Sort(pairs)
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// TestSlotsSurviveTheirWorkers ends each worker in turn, and checks that its successor
// gets its slot.
func TestSlotsSurviveTheirWorkers(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "4"}})
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 4) })
	for range 20 {
		a.get("/cpu?ms=50") // so that there is processor time to lose
	}
	known := counters{}
	m := x.scrape(t)
	if err := known.follow(m, a.name); err != nil {
		t.Fatal(err)
	}
	if total := known.sum("resp_app_cpu_seconds_total"); total < 1 {
		t.Fatalf("resp_app_cpu_seconds_total is %v after a second of work", total)
	}
	restarts, _ := m.sum("resp_worker_restarts_total", "app="+a.name)
	for n, slot := range []string{"0", "1", "2", "3"} {
		before := x.scrape(t).pids(a.name)
		if err := syscall.Kill(before[slot], syscall.SIGTERM); err != nil {
			t.Fatalf("end worker %s, pid %d: %v", slot, before[slot], err)
		}
		eventually(t, 20*time.Second, func() error {
			m := x.scrape(t)
			if err := known.follow(m, a.name); err != nil {
				t.Fatal(err)
			}
			if err := m.slots(a.name, 4); err != nil {
				return err
			}
			return replaced(before, m.pids(a.name), slot, m, a.name, restarts+float64(n+1))
		})
	}
	quiet := x.scrape(t)
	if err := quiet.want(restarts+4, "resp_worker_restarts_total", "app="+a.name); err != nil {
		t.Fatal(err)
	}
}

// replaced returns an error unless the slot has another process, the others the
// same ones, and the counter of restarts its value.
func replaced(before, after map[string]int, slot string, m metrics, app string, restarts float64) error {
	for s, pid := range after {
		if same := pid == before[s]; same != (s != slot) {
			return fmt.Errorf("slot %s had pid %d and has %d, though slot %s was ended", s, before[s], pid, slot)
		}
	}
	return m.want(restarts, "resp_worker_restarts_total", "app="+app)
}

func (c counters) sum(name string) (total float64) {
	for k, v := range c {
		if strings.HasPrefix(k, name+"{") {
			total += v
		}
	}
	return total
}

// TestSlotsSurviveAReload checks that the four slots stay the same when HUP starts four
// new workers before the old ones end.
func TestSlotsSurviveAReload(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	a := serve(t, launch{server: "gunicorn", args: []string{"-w", "4"}})
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 4) })
	passes(t, 6*time.Second, "no slot was added for so long that a new worker waits for one that becomes free")
	before := x.scrape(t).pids(a.name)
	if err := syscall.Kill(a.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		after := m.pids(a.name)
		for slot, pid := range before {
			if after[slot] == pid {
				return fmt.Errorf("slot %s still has pid %d", slot, pid)
			}
		}
		return all(m.slots(a.name, 4), m.want(4, "resp_worker_restarts_total", "app="+a.name))
	})
}

// TestUpgradeIsOneApp checks that an upgrade by USR2, with a second master and its workers
// below the first, is one app throughout, with and without titles.
func TestUpgradeIsOneApp(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	for name, env := range map[string][]string{"with titles": nil, "without titles": withoutTitles(t)} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, launch{server: "gunicorn", args: []string{"-w", "2"}, env: env})
			eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 2) })
			if err := syscall.Kill(a.PID(), syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			one := func(workers float64) error {
				m := x.scrape(t)
				var others []error
				m.each("resp_up", nil, func(labels map[string]string, _ float64) {
					if strings.HasPrefix(labels["component"], "app:"+a.name+"@") {
						others = append(others, fmt.Errorf("a second app: %s", labels["component"]))
					}
				})
				if len(others) > 0 {
					t.Fatal(errors.Join(others...))
				}
				return m.want(workers, "resp_app_workers", "app="+a.name)
			}
			eventually(t, 20*time.Second, func() error { return one(4) })
			if err := syscall.Kill(a.PID(), syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
			eventually(t, 20*time.Second, func() error {
				return all(one(2), x.scrape(t).want(1, "resp_up", "component=app:"+a.name))
			})
		})
	}
}

// TestSlotsSurviveTheApp checks that a restart of the whole app keeps the four slots, and
// that no counter starts again.
func TestSlotsSurviveTheApp(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	l := launch{server: "gunicorn", name: unique("shop"), dir: openDir(t), port: freePort(t), args: []string{"-w", "4"}}
	a := serve(t, l)
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 4) })
	for range 10 {
		a.get("/cpu?ms=50")
	}
	known := counters{}
	if err := known.follow(x.scrape(t), a.name); err != nil {
		t.Fatal(err)
	}
	old := x.scrape(t).pids(a.name)
	a.Stop()
	repeat(t, 3, 300*time.Millisecond, func() error { return known.follow(x.scrape(t), a.name) }) // without the app
	b := serve(t, l)
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		if err := known.follow(m, b.name); err != nil {
			t.Fatal(err)
		}
		for slot, pid := range m.pids(b.name) {
			if old[slot] == pid {
				return fmt.Errorf("slot %s still has the old pid %d", slot, pid)
			}
		}
		return seen(m, b, "gunicorn", 4)
	})
}
