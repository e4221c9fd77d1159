package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procid"
)

// A round of faults, and how long after its beginning the alerts come.
const (
	faultRound = 60 * time.Second
	faultAlert = 12 * time.Second
)

// faults is what happens in the shop over and over: what dashboards show is not
// there while all is well.
type faults struct {
	o       *observed
	cookie  string
	rounds  int
	relayed string // where the app's own reports go

	mu   sync.Mutex
	made map[string]int
	last map[string]error // of what went wrong, by its name
}

// makeFaults starts the faults, and customers who request a few pages a second. They end
// with the test.
func (o *observed) makeFaults(t *testing.T, reports string) *faults {
	t.Helper()
	f := &faults{o: o, relayed: reports, made: map[string]int{}, last: map[string]error{}}
	o.shop.traffic(t, 3, "/products", "/", "/products/3", "/nothing-here")
	// Jobs that fail are kept; no worker sends newsletters; Celery gets more tasks than it can do.
	python := startPython(t, o.stores, "import stores, rq\nq = rq.Queue('default', connection=stores.cache())\nfor _ in range(3): q.enqueue('jobs.write_order', {'no number': 1})\nrq.Queue('newsletter', connection=stores.cache()).enqueue('jobs.stuck', 1, 0)")
	o.mail.publish(slices.Repeat([]string{"mail", "0", "1", "0", "15"}, 300)...)
	<-python.Done()
	var wg sync.WaitGroup
	wg.Go(func() { f.run(t.Context()) })
	t.Cleanup(wg.Wait)
	return f
}

// run makes the faults, round after round, until ctx ends.
func (f *faults) run(ctx context.Context) {
	for ; ctx.Err() == nil; f.rounds++ {
		for _, one := range f.sick() {
			f.note(one.name, one.make())
		}
		wait(ctx, faultAlert)
		for _, one := range f.alerts() {
			f.note(one.name, one.make())
		}
		wait(ctx, faultRound/2-faultAlert)
		f.note("the app reports its routes again", f.report()) // a rate of 60 s is above 0 at each moment
		wait(ctx, faultRound/2)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// mishap is one of them by its name.
type mishap struct {
	name string
	make func() error
}

// sick is what happens at the beginning of a round.
func (f *faults) sick() []mishap {
	page := func(path string, status int) mishap {
		return mishap{path, func() error { return wants("status", f.o.shop.get(path), status) }}
	}
	behind := func(path string) mishap {
		return mishap{path, func() error { f.o.shop.behind(path); return nil }}
	}
	return []mishap{
		{"a cart is ordered", f.order},
		{"the app reports its routes", f.report},
		page("/error", http.StatusInternalServerError), page("/slow?s=0.8", http.StatusOK),
		page("/fault/leak-connection", http.StatusOK), page("/fault/sessions?n=50", http.StatusOK), page("/fault/stuck-job?s=10", http.StatusAccepted),
		{"another cart is ordered", f.order}, // and waits behind that job
		behind("/fault/slow-query?s=15"), behind("/fault/lock?s=10"), behind("/fault/lock?s=0"),
		{"a worker is killed", f.kill},
	}
}

// alerts returns the alerts that are sent to the exporters then.
func (f *faults) alerts() []mishap {
	alert := func(x *exporter, name, token string, status int) mishap {
		return mishap{name + " to " + x.url, func() error {
			got, body, err := x.post("/api/v1/alerts", notification(name, strconv.Itoa(f.rounds)), token)
			return all(err, wants("status with "+body, got, status))
		}}
	}
	first, second := f.o.exporter, f.o.second
	return []mishap{
		alert(first, "RespPoolLeak", healToken, http.StatusAccepted), alert(first, "RespPoolLeak", healToken, http.StatusAccepted),
		alert(first, "RespSessionsWithoutExpiry", healToken, http.StatusAccepted), alert(first, "Sick", healToken, http.StatusAccepted),
		alert(first, "Nobody", healToken, http.StatusAccepted), alert(first, "Sick", "wrong", http.StatusUnauthorized),
		alert(second, "Sick", healToken, http.StatusAccepted), alert(second, "RespSessionsWithoutExpiry", healToken, http.StatusAccepted),
	}
}

// order puts something into the cart of one customer and orders it.
func (f *faults) order() error {
	for _, path := range []string{"/cart/1", "/checkout"} {
		req, err := http.NewRequest(http.MethodPost, "http://app"+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Cookie", f.cookie)
		resp, err := f.o.shop.client.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s: %s", path, resp.Status)
		}
		for _, c := range resp.Cookies() {
			f.cookie = c.Name + "=" + c.Value
		}
	}
	return nil
}

// report sends what an app sends that reports its routes, waits and tasks itself.
func (f *faults) report() error {
	for _, line := range []string{
		"resp.request:12:31:640|ms|#app:shop,method:GET,route:/products,code:200", "resp.request:25|ms|#app:shop,method:GET,route:/products/<id>,code:404",
		"resp.request:48:52|ms|#app:shop,method:POST,route:/checkout,code:202", "resp.request:9|ms|#app:shop,method:GET,route:/error,code:500",
		"resp.request:7|ms|#app:shop,method:GET,route:/one-too-many,code:200",
		"resp.queue_time:12:40|ms|#source:header,app:shop", "resp.pool_wait:2.5:30|ms|#pool:main,app:shop",
		"resp.task:120|ms|#task:cleanup,outcome:ok,app:shop", "resp.task:15|ms|#task:cleanup,outcome:failed,app:shop",
	} {
		if err := datagram(f.relayed, line); err != nil {
			return err
		}
	}
	return nil
}

// kill ends a worker of the shop the hard way; its master starts another one.
func (f *faults) kill() error {
	if workers := procid.Children("/proc", f.o.shop.PID()); len(workers) > 0 {
		return syscall.Kill(workers[0], syscall.SIGKILL)
	}
	return fmt.Errorf("no workers")
}

// note records the result of one try of a fault; err is nil if it was made.
func (f *faults) note(name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.last[name] = err
		return
	}
	f.made[name]++
}

// check fails the test for each fault that could never be made.
func (f *faults) check(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, err := range f.last {
		if f.made[name] == 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%s: %d times, and failed at least once: %v", name, f.made[name], err)
	}
}
