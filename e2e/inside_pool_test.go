package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// insidePool is a pool in /api/v1/status.
type insidePool struct {
	Pool, Source string
	Leaked       float64
	Capacity     *float64
	Oldest       *float64 `json:"oldest_checkout_seconds"`
	LeakedAt     []struct {
		Route, File, Function string
		Line                  int
		Connections           float64
		Seconds               float64 `json:"oldest_checkout_seconds"`
	} `json:"leaked_at"`
	Leaks []struct{ Connection uint64 }
}

// insidePools returns the pools of an app in /api/v1/status, and the advice of all.
func (x *exporter) insidePools(app string) (pools []insidePool, advice []string, err error) {
	code, body, err := x.get("/api/v1/status")
	if err != nil || code != http.StatusOK {
		return nil, nil, fmt.Errorf("%d, %w", code, err)
	}
	var s struct {
		Recommendations []string
		Apps            []struct {
			Name  string
			Pools []insidePool
		}
	}
	err = json.Unmarshal([]byte(body), &s)
	for _, a := range s.Apps {
		if a.Name == app {
			pools = a.Pools
		}
	}
	return pools, s.Recommendations, err
}

// lineIn returns the number of the line of a file of e2e/shop that has a text.
func lineIn(t *testing.T, file, text string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("shop", file))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	i := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, text) })
	if i < 0 {
		t.Fatalf("%s has no line with %q", file, text)
	}
	return i + 1
}

// servePool starts two workers of shop/insidepool.py with a pool of a database.
func servePool(t *testing.T, x *exporter, name, url string) *app {
	t.Helper()
	need(t, "gunicorn", python)
	lib, err := filepath.Abs(integration)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PYTHONPATH=" + lib, "POOL_URL=" + url, "SLOW=3", "RESP_STATSD=udp://" + x.udp, "PYTHONDONTWRITEBYTECODE=1"}
	return serve(t, launch{server: "gunicorn", name: name, source: "shop/insidepool.py", args: []string{"-w", "2"}, env: env})
}

// TestInsidePool checks that the pool that an app reports is preferred to what is seen from
// outside, and that a connection that one route never returned is shown with the route, the
// line, the count and the age.
func TestInsidePool(t *testing.T) {
	t.Parallel()
	s := database(t)
	name := unique("reports")
	config := fmt.Sprintf("monitoring_interval: 1s\napps: [{name: %s, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop, size: 9, max_overflow: 9, leak_after: 1h}]}]\n", name, name+":app") + mysqlSection(t, "main", s)
	x := watch(t, export{config: config})
	a := servePool(t, x, name, "mysql+pymysql://shop:shop@"+address(s)+"/shop")
	for range 40 {
		if got := a.get("/good"); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_pool_info", "app="+a.name, "pool=main", "source=inside"), m.want(10, "resp_pool_capacity", "app="+a.name, "pool=main"),
			m.want(0, "resp_pool_connections", "app="+a.name, "state=leaked"))
	})
	began := time.Now()
	if got := a.get("/lost/7"); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	line := lineIn(t, "insidepool.py", "the line that loses a connection")
	eventually(t, 40*time.Second, func() error {
		m := x.scrape(t)
		pools, advice, err := x.insidePools(a.name)
		if err != nil || len(pools) != 1 {
			return fmt.Errorf("%+v, %w", pools, err)
		}
		p := pools[0]
		if p.Source != "inside" || p.Leaked != 1 || p.Capacity == nil || *p.Capacity != 10 || p.Oldest == nil || len(p.LeakedAt) != 1 || len(p.Leaks) != 0 {
			return fmt.Errorf("pool %+v", p)
		}
		at, age := p.LeakedAt[0], time.Since(began).Seconds()
		if at.Route != "/lost/<int:n>" || at.File != a.name+".py" || at.Function != "forgets" || at.Line != line || at.Connections != 1 || at.Seconds < 3 || at.Seconds > age || at.Seconds < age-scaled(15*time.Second).Seconds() {
			return fmt.Errorf("site %+v, %.1f s after its request", at, age)
		}
		if !slices.ContainsFunc(advice, func(s string) bool {
			return strings.Contains(s, at.Route) && strings.Contains(s, "line "+strconv.Itoa(line)+" of "+at.File)
		}) {
			return fmt.Errorf("advice %q", advice)
		}
		_, page, err := x.get("/")
		if err != nil || !strings.Contains(page, "/lost/&lt;int:n&gt; ("+at.File+":"+strconv.Itoa(line)+")") {
			return fmt.Errorf("the page does not name the line, %w", err)
		}
		return all(m.want(1, "resp_pool_connections", "app="+a.name, "pool=main", "state=leaked"), m.want(0, "resp_pool_waiting_threads", "app="+a.name))
	})
}
