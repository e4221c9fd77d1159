package servers

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/bench"
)

// held is how many seconds a worker is blocked; uvicorn ends one after 5.
const held = 4.0

// queue blocks all workers, connects some more clients, and compares the queue of the
// listener and its limit with what ss reports.
func (t *trial) queue(ctx context.Context) (ok bool, want, seen string, err error) {
	for range tries {
		if ok, want, seen, err = t.blocked(ctx); err != nil || ok {
			break
		}
	}
	if err != nil {
		return false, "", "", err
	}
	_, after, err := t.settled(ctx)
	return ok && after == t.rest(), want + ", then " + t.rest(), seen + ", then " + after, err
}

// blocked blocks all workers and connects more clients, and reports whether the exporter
// has the queue that ss has; with what was wanted and what was seen.
func (t *trial) blocked(ctx context.Context) (ok bool, want, seen string, err error) {
	if _, seen, err := t.settled(ctx); err != nil || seen != t.rest() {
		return false, t.rest(), seen, err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	mark := t.next()
	for range t.s.workers * max(t.s.threads, 1) * 2 {
		wg.Go(func() { _, _ = t.Get(ctx, fmt.Sprintf("/hold/%.1f/%s", held, mark[:len(mark)-1])) })
		bench.Pause(ctx, 150*time.Millisecond)
		if t.s.threads == 0 && len(t.Marks(mark)) == t.s.workers {
			break
		}
	}
	for range 3 + t.random.IntN(4) {
		c, err := t.Dial(ctx)
		if err != nil {
			return false, "", "", err
		}
		defer func() { _ = c.Close() }()
		if err := ask(c); err != nil {
			return false, "", "", err
		}
	}
	bench.Pause(ctx, 100*time.Millisecond)
	want, seen, err = t.queues(ctx, mark)
	return want == seen && (t.s.threads > 0 || !strings.HasPrefix(want, "0 of")), want, seen, err
}

// queues returns the queue as ss reports it before and after a scrape, and as
// that does, while all workers are blocked.
func (t *trial) queues(ctx context.Context, mark string) (is, reported string, err error) {
	for range 10 {
		before, err := t.listener(ctx)
		if err != nil {
			return "", "", err
		}
		page, err := t.Scrape(ctx)
		if err != nil {
			return "", "", err
		}
		after, err := t.listener(ctx)
		if err != nil {
			return "", "", err
		}
		if before == after && len(t.Marks(mark)) >= t.s.workers {
			return before, t.reported(page), nil
		}
	}
	return "all workers blocked", "not all workers were blocked", nil
}

// ask sends a request and does not wait for the answer.
func ask(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"))
	return err
}

// reported returns the queue of the listener that the exporter reports.
func (t *trial) reported(page bench.Page) string {
	values := map[string]float64{"length": -1, "limit": -1}
	listeners := 0
	for name := range values {
		page.Each("resp_listener_queue_"+name, t.name, func(labels map[string]string, v float64) {
			if t.isListener(labels["listener"]) {
				values[name] = v
				listeners++
			}
		})
	}
	if listeners != 2 {
		return "no such listener"
	}
	return fmt.Sprintf("%.0f of %.0f", values["length"], values["limit"])
}

// isListener reports whether a listener is the one at which the workers wait: mod_wsgi has
// another one behind Apache's.
func (t *trial) isListener(at string) bool {
	if t.s.program == "mod_wsgi" {
		return strings.HasPrefix(at, "unix:"+t.Dir+"/wsgi.")
	}
	return at == t.At
}

// listener returns the queue of the listener that ss reports.
func (t *trial) listener(ctx context.Context) (string, error) {
	out, err := output(ctx, "ss", "-Hlntx")
	if err != nil {
		return "", fmt.Errorf("ss: %w", err)
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		at := f[4]
		if f[0] != "tcp" {
			at = "unix:" + at
		}
		if t.isListener(at) {
			return f[2] + " of " + f[3], nil
		}
	}
	return "", fmt.Errorf("ss lists no listener %s", t.At)
}

// requests compares how many requests are counted by their status.
func (t *trial) requests(ctx context.Context) (bool, string, string, error) {
	count := func(page bench.Page) (ok, missing float64, some bool) {
		page.Each("resp_http_requests_total", t.name, func(labels map[string]string, v float64) {
			some = true
			switch labels["code"] {
			case "200":
				ok += v
			case "404":
				missing += v
			}
		})
		return ok, missing, some
	}
	if !t.s.reports {
		page, err := t.Scrape(ctx)
		_, _, some := count(page)
		seen := "none reported"
		if some {
			seen = "some"
		}
		return !some, "none reported", seen, err
	}
	bench.Pause(ctx, 2*time.Second) // what came before is counted
	page, err := t.Scrape(ctx)
	if err != nil {
		return false, "", "", err
	}
	ok0, missing0, _ := count(page)
	good, bad := 10+t.random.IntN(20), 1+t.random.IntN(9)
	for i := range good + bad {
		path, want := "/", 200
		if i < bad {
			path, want = "/missing", 404
		}
		if status, err := t.Get(ctx, path); err != nil || status != want {
			return false, "", "", fmt.Errorf("status %d of %s: %w", status, path, err)
		}
	}
	want, last := fmt.Sprintf("200: %d, 404: %d", good, bad), ""
	right, seen, err := t.until(ctx, patience/3, func(page bench.Page) (bool, string) {
		ok, missing, _ := count(page)
		last = fmt.Sprintf("200: %.0f, 404: %.0f", ok-ok0, missing-missing0)
		return last == want, last
	})
	return right, want, seen, err
}

// replaced ends a worker, or starts a server of one process again, and compares
// the workers then.
func (t *trial) replaced(ctx context.Context) (bool, string, string, error) {
	page, err := t.Scrape(ctx)
	if err != nil {
		return false, "", "", err
	}
	pids := t.apps(page)[t.name]
	ended := pids[strconv.Itoa(t.random.IntN(t.s.workers))]
	switch {
	case ended == 0:
		return false, "", "no such worker", nil
	case t.s.alone || t.s.renewed:
		t.App().Stop()
		err = t.StartApp(ctx)
	default:
		err = syscall.Kill(ended, syscall.SIGKILL)
	}
	if err != nil {
		return false, "", "", err
	}
	want := fmt.Sprintf("%d, %s", t.s.workers, t.rest())
	ok, seen, err := t.until(ctx, patience, func(page bench.Page) (bool, string) {
		ok, seen := t.workersAre(page, ended)
		is := states(page, t.name)
		return ok && is == t.rest() && len(t.apps(page)) == 1+t.s.others, seen + ", " + is
	})
	return ok, want, seen, err
}
