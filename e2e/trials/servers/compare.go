package servers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/bench"
)

const (
	patience = 45 * time.Second // until the exporter is right
	looks    = 8                // at idle workers
	gap      = 300 * time.Millisecond
	request  = 3.0 // seconds that the request of a comparison takes
	tries    = 3   // of a step that may fail on a busy machine
	// settling is how long after the beginning of a request its first look is: a
	// scrape may share a look of the exporter's own that began before.
	settling = 500 * time.Millisecond
)

// until calls f until it is right, and returns what it saw last.
func (t *trial) until(ctx context.Context, limit time.Duration, f func(bench.Page) (bool, string)) (bool, string, error) {
	for end := time.Now().Add(limit); ; bench.Pause(ctx, gap) {
		page, err := t.Scrape(ctx)
		if err != nil {
			return false, "", err
		}
		ok, seen := f(page)
		if ok || time.Now().After(end) {
			return ok, seen, ctx.Err()
		}
	}
}

// apps returns the apps of which a worker is a process of this server, with the
// pids of all their workers by slot.
func (t *trial) apps(page bench.Page) map[string]map[string]int {
	all := make(map[string]map[string]int)
	page.Each("resp_worker_info", "", func(labels map[string]string, _ float64) {
		pid, err := strconv.Atoi(labels["pid"])
		if err != nil {
			return
		}
		if all[labels["app"]] == nil {
			all[labels["app"]] = make(map[string]int)
		}
		all[labels["app"]][labels["worker"]] = pid
	})
	below := descendants(t.App().PID())
	maps.DeleteFunc(all, func(_ string, pids map[string]int) bool {
		for _, pid := range pids {
			if below[pid] {
				return false
			}
		}
		return true
	})
	return all
}

// descendants returns a process and all that it and they started.
func descendants(pid int) map[int]bool {
	parents := make(map[int]int)
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		child, err := strconv.Atoi(strings.Split(file, "/")[2])
		if parent, bad := strconv.Atoi(fields[1]); err == nil && bad == nil {
			parents[child] = parent
		}
	}
	out := map[int]bool{pid: true}
	for range parents { // as deep as there are processes
		before := len(out)
		for child, parent := range parents {
			if out[parent] {
				out[child] = true
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}

// found compares whether each app of this server is found, and nothing else.
func (t *trial) found(ctx context.Context) (bool, string, string, error) {
	want := 1 + t.s.others
	ok, seen, err := t.until(ctx, patience, func(page bench.Page) (bool, string) {
		apps := slices.Sorted(maps.Keys(t.apps(page)))
		return len(apps) == want, fmt.Sprintf("%d: %s", len(apps), t.plain(strings.Join(apps, ", ")))
	})
	return ok, strconv.Itoa(want), seen, err
}

// plain replaces what differs from run to run in a name.
func (t *trial) plain(s string) string {
	return strings.NewReplacer(t.Name, "app", t.Dir, "DIR", t.At, "AT").Replace(s)
}

// named compares the name.
func (t *trial) named(ctx context.Context) (bool, string, string, error) {
	page, err := t.Scrape(ctx)
	if err != nil {
		return false, "", "", err
	}
	apps := t.apps(page)
	return apps[t.name] != nil, t.plain(t.name), t.plain(strings.Join(slices.Sorted(maps.Keys(apps)), ", ")), nil
}

// workersAre reports whether the app has its workers, numbered from 0, without
// a process that has ended.
func (t *trial) workersAre(page bench.Page, ended int) (bool, string) {
	pids := t.apps(page)[t.name]
	numbers := slices.Sorted(maps.Keys(pids))
	ok := len(pids) == t.s.workers
	for i := range t.s.workers {
		ok = ok && pids[strconv.Itoa(i)] != 0 && pids[strconv.Itoa(i)] != ended
	}
	return ok, fmt.Sprintf("%d: %s", len(pids), strings.Join(numbers, " "))
}

// counted compares the number of workers and their states.
func (t *trial) counted(ctx context.Context) (bool, string, string, error) {
	ok, seen, err := t.until(ctx, patience, func(page bench.Page) (bool, string) { return t.workersAre(page, 0) })
	return ok, strconv.Itoa(t.s.workers), seen, err
}

// states returns the workers by state, in words.
func states(page bench.Page, app string) string {
	var out []string
	s := page.States(app)
	for _, state := range []string{"idle", "busy", "stuck", "booting"} {
		if s[state] > 0 {
			out = append(out, fmt.Sprintf("%.0f %s", s[state], state))
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// rest returns the state that an app without a request reports.
func (t *trial) rest() string { return fmt.Sprintf("%d idle", t.s.workers) }

// idle compares the states of idle workers, many times.
func (t *trial) idle(ctx context.Context) (bool, string, string, error) {
	if _, seen, err := t.settled(ctx); err != nil || seen != t.rest() {
		return false, t.rest(), seen, err
	}
	bench.Pause(ctx, time.Duration(t.random.IntN(1000))*time.Millisecond)
	for range looks {
		page, err := t.Scrape(ctx)
		if err != nil {
			return false, "", "", err
		}
		if seen := states(page, t.name); seen != t.rest() {
			return false, t.rest(), seen, nil
		}
		bench.Pause(ctx, gap)
	}
	return true, t.rest(), t.rest(), ctx.Err()
}

// settled waits until all workers are idle.
func (t *trial) settled(ctx context.Context) (bool, string, error) {
	return t.until(ctx, patience, func(page bench.Page) (bool, string) {
		seen := states(page, t.name)
		return seen == t.rest(), seen
	})
}

// request compares the states while a worker is in a request of 3 s, and after
// it. While a request awaits, the worker may also be idle: docs/metrics.md.
func (t *trial) request(ctx context.Context, does string, awaits bool) (bool, string, string, error) {
	want := fmt.Sprintf("%d idle, 1 busy", t.s.workers-1)
	if t.s.workers == 1 {
		want = "1 busy"
	}
	seen := make(map[string]int)
	for range tries {
		if err := t.during(ctx, does, seen); err != nil {
			return false, "", "", err
		}
		if len(seen) > 0 {
			break
		}
	}
	_, after, err := t.settled(ctx)
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(seen)) {
		parts = append(parts, fmt.Sprintf("%s (%d looks)", s, seen[s]))
	}
	wrong := maps.Clone(seen)
	delete(wrong, want)
	if awaits {
		delete(wrong, t.rest())
		want = t.rest() + ", or " + want
	}
	ok := len(seen) > 0 && len(wrong) == 0 && after == t.rest()
	return ok, want + ", then " + t.rest(), strings.Join(parts, "; ") + ", then " + after, err
}

// during sends one request and counts the states that it shows while the app
// works on it.
func (t *trial) during(ctx context.Context, does string, seen map[string]int) error {
	mark := t.next()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = t.Get(ctx, fmt.Sprintf("/%s/%.1f/%s", does, request, mark[:len(mark)-1]))
	}()
	var began time.Time // when the app was first seen to work on it
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(gap):
		}
		if began.IsZero() && len(t.Marks(mark)) == 1 {
			began = time.Now()
		}
		before := !began.IsZero() && time.Since(began) > settling
		page, err := t.Scrape(ctx)
		if err != nil {
			return err
		}
		if before && len(t.Marks(mark)) == 1 {
			seen[states(page, t.name)]++
		}
	}
}

// next returns the beginning of the mark of the next request.
func (t *trial) next() string {
	t.number++
	return fmt.Sprintf("r%d.", t.number)
}
