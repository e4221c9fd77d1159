package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The status page in a real browser, beside a real app. UPDATE_SCREENSHOTS=10m
// lets the app work for that long first, for the charts, and puts the pictures
// into docs/.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	module, statsd := unique("shop"), fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t))
	stores := shopStores(t)
	x := watch(t, export{
		statsd: fmt.Sprintf("statsd: {listen: [\"udp://%s\", \"udp://%s\"]}\n", statsd, taken.LocalAddr()),
		config: stores.config + joined("monitoring_interval: 5s", "apps:", fmt.Sprintf("  - name: shop\n    match: {cmdline: 'gunicorn.*%s'}", module),
			"    pools: [{name: main, mysql: main, user: shop}]",
			"    sessions: [{redis: cache, prefix: \"session:\", lifetime: 2h}]",
			"    tasks: [{type: rq, redis: cache, queues: [default]}]"),
	})
	a := serve(t, launch{
		server: "gunicorn", name: module, env: append(stores.env, "SHOP_LOCK_WAIT=600", "SHOP_HOLD_CEILING=600"),
		args: []string{"-w", "4", "--timeout", "600", "--statsd-host", statsd, "--dogstatsd-tags", "app:shop"},
	})
	a.name = "shop"
	eventually(t, 20*time.Second, func() error { return seen(x.scrape(t), a, "gunicorn", 4) })

	shots, warm := t.TempDir(), 12*time.Second
	if update := os.Getenv("UPDATE_SCREENSHOTS"); update != "" {
		if warm, err = time.ParseDuration(update); err != nil {
			t.Fatalf("UPDATE_SCREENSHOTS is how long the app works first: %v", err)
		}
		if shots, err = filepath.Abs("../docs"); err != nil {
			t.Fatal(err)
		}
	}
	var load sync.WaitGroup
	for customer := range 3 {
		load.Go(func() { busyFor(a, warm, customer) })
	}
	load.Wait()

	browse(t, "page.mjs", map[string]any{
		"page": x.url + "/", "shop": "http://" + a.listen, "app": a.name, "reason": "in_use", "shots": shots, "slack": min(max(scaled(time.Second).Seconds(), 2), 5),
		"lines": "MySQL main,Redis cache,Pool shop main,Tasks shop default,Sessions shop cache",
	})
}

// busyFor sends a light mix of requests for that long, as one customer of a few.
func busyFor(a *app, d time.Duration, customer int) {
	pages := []string{"/", "/products", "/products/2", "/cpu?ms=30", "/products", "/slow?s=0.2", "/", "/products/77", "/slow?s=1.2", "/leak?kb=4"}
	for n, end := customer, time.Now().Add(d); time.Now().Before(end); n++ {
		a.get(pages[n%len(pages)])
		switch {
		case n%150 == 149:
			a.get("/error")
		case n%20 == 7:
			buys(a)
		}
		time.Sleep(time.Duration(60+20*(n/40%5)) * time.Millisecond) // the customer reads the page: the load rises and falls
	}
}

// buys is a visit of somebody new, who gets a session and leaves an order.
func buys(a *app) {
	jar, _ := cookiejar.New(nil) // it gives no error without options
	visitor := &http.Client{Transport: a.client.Transport, Jar: jar, Timeout: 10 * time.Second}
	for _, path := range []string{"/cart/1", "/checkout"} {
		if resp, err := visitor.Post("http://"+a.listen+path, "", nil); err == nil {
			_ = resp.Body.Close()
		}
	}
}
