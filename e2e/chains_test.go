package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// chainApp is an app whose requests wait for each other. Before each wait it writes
// down who waits, on which connection, and in which line.
const chainApp = `import inspect, json, os, socket, time, urllib.request
from urllib.parse import parse_qs
import pymysql

here = os.path.dirname(os.path.abspath(__file__))

def note(q, c=None):
    f = inspect.stack()[1]
    truth = {"name": q["name"], "pid": os.getpid(), "connection": c.thread_id() if c else 0, "line": f.lineno + 1, "function": f.function, "at": time.time()}
    with open(here + "/truth.jsonl", "a") as out: out.write(json.dumps(truth) + "\n")

def begin(q):
    c = pymysql.connect(host="127.0.0.1", port=int(os.environ["DB"]), user="shop", password="shop", database="shop")
    c.cursor().execute("SET SESSION innodb_lock_wait_timeout = 600")
    c.begin()
    if "holds" in q: c.cursor().execute("UPDATE orders SET paid = paid + 1 WHERE id = %s", (q["holds"],))
    return c

def want(q):
    c = begin(q)
    note(q, c)
    c.cursor().execute("UPDATE orders SET paid = paid + 1 WHERE id = %s", (q["wants"],))

def rest(q):
    c = begin(q)
    note(q, c)
    time.sleep(600)

def ask(q):
    c = begin(q)
    s = socket.create_connection(("127.0.0.1", int(q["port"])))
    note(q, c)
    s.recv(10)

def call(q):
    note(q)
    urllib.request.urlopen("http://127.0.0.1:%s/%s" % (q["port"], q["path"])).read()

def quick(q):
    c = begin(q)
    c.cursor().execute("SELECT SLEEP(0.2)")
    c.rollback()
    c.close()

def app(env, start):
    q = {k: v[0] for k, v in parse_qs(env["QUERY_STRING"]).items()}
    view = globals().get(env["PATH_INFO"][1:])
    if view: view(q)
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
`

type (
	// chainStatus is one chain of /api/v1/status.
	chainStatus struct {
		App, On    string
		Peer, Kind *string
		Object     *string
		Seconds    float64
		Deadlock   bool
		Victims    []linkStatus
		Links      []linkStatus
	}
	linkStatus struct {
		App, Slot   *string
		PID         *int
		Connection  *uint64 `json:"connection_id"`
		User, Host  *string
		On, Peer    *string
		Seconds     float64
		Transaction *float64 `json:"transaction_seconds"`
		File        *string
		Line        *int
	}
	// wanted is what an app wrote down about one request.
	wanted struct {
		Name       string
		PID, Line  int
		Connection uint64
		Function   string
		At         float64
	}
)

// truth returns what an app has written down about a request, once it has.
func (a *app) truth(t *testing.T, name string) wanted {
	t.Helper()
	var w wanted
	eventually(t, 20*time.Second, func() error {
		b, err := os.ReadFile(filepath.Join(a.dir, "truth.jsonl"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if err := json.Unmarshal([]byte(line), &w); err == nil && w.Name == name {
				return nil
			}
		}
		return fmt.Errorf("%s has not begun", name)
	})
	return w
}

// chains returns the chains of the exporter in which an app has a victim.
func (x *exporter) chains(apps ...*app) ([]chainStatus, error) {
	_, body, err := x.get("/api/v1/status")
	if err != nil {
		return nil, err
	}
	var got struct{ Chains []chainStatus }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return nil, err
	}
	var out []chainStatus
	for _, c := range got.Chains {
		for _, a := range apps {
			if c.App == a.name {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// is reports how a link differs from what the app wrote down.
func (l *linkStatus) is(a *app, w wanted) error {
	switch {
	case l.App == nil || *l.App != a.name || l.PID == nil || *l.PID != w.PID || l.Slot == nil:
		return fmt.Errorf("it is not worker %d of %s", w.PID, a.name)
	case w.Connection != 0 && (l.Connection == nil || *l.Connection != w.Connection):
		return fmt.Errorf("it is not connection %d", w.Connection)
	case l.File == nil || *l.File != a.name+".py" || l.Line == nil || *l.Line != w.Line:
		return fmt.Errorf("it is not in line %d", w.Line)
	}
	age := float64(time.Now().UnixMilli())/1000 - w.At
	if late := scaled(4 * time.Second).Seconds(); l.Seconds > age+2 || l.Seconds < age-late { // of the sample that saw it first
		return fmt.Errorf("it waits for %.1f s, truth %.1f s", l.Seconds, age)
	}
	return nil
}

// chainTrial is an app with its victims and links, for one scene.
type chainTrial struct {
	x       *exporter
	victims map[*app][]string // names of requests
	on      string
	links   []chainLink

	deadlock bool
}

type chainLink struct {
	app  *app
	name string // of the request
	id   uint64 // of a connection of no app
}

// holds waits until the exporter has the chain.
func (c *chainTrial) holds(t *testing.T, apps ...*app) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		list, err := c.x.chains(apps...)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("%d chains: %+v", len(list), list)
		}
		got := list[0]
		raw, _ := json.Marshal(got)
		errs := []error{wants("on", got.On, c.on), wants("number of links", len(got.Links), len(c.links)), wants("deadlock", got.Deadlock, c.deadlock)}
		n := 0
		for a, names := range c.victims {
			for _, name := range names {
				n++
				errs = append(errs, amongVictims(got.Victims, a, a.truth(t, name)))
			}
		}
		errs = append(errs, wants("number of victims", len(got.Victims), n))
		for i := range min(len(got.Links), len(c.links)) {
			l, want := &got.Links[i], c.links[i]
			if c.deadlock {
				continue // it may begin with any of them
			}
			if want.app != nil {
				errs = append(errs, l.is(want.app, want.app.truth(t, want.name)))
			} else if l.Connection == nil || *l.Connection != want.id || l.User == nil || l.App != nil {
				errs = append(errs, fmt.Errorf("link %d is not connection %d", i, want.id))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("%w in %s", err, raw)
		}
		return nil
	})
}

// endsAt waits until the exporter has one chain of an app that ends at a request.
func (c *chainTrial) endsAt(t *testing.T, app *app, name string) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		list, err := c.x.chains(app)
		if err != nil || len(list) != 1 || len(list[0].Links) == 0 {
			return fmt.Errorf("%+v, %w", list, err)
		}
		raw, _ := json.Marshal(list)
		if err := list[0].Links[len(list[0].Links)-1].is(app, app.truth(t, name)); err != nil {
			return fmt.Errorf("%w: %s", err, raw)
		}
		return nil
	})
}

func amongVictims(list []linkStatus, a *app, w wanted) error {
	var errs []error
	for i := range list {
		err := list[i].is(a, w)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("%s is no victim: %w", w.Name, errors.Join(errs...))
}

// chainStack is two apps beside a database, and an exporter that watches them.
func chainStack(t *testing.T, s *mariadb.Server) (x *exporter, shop, front *app) {
	t.Helper()
	need(t, "gunicorn", python)
	source := write(t, filepath.Join(t.TempDir(), "chain.py"), chainApp)
	env := []string{fmt.Sprintf("DB=%d", s.Port)}
	shop = serve(t, launch{server: "gunicorn", source: source, args: []string{"-w", "4", "--timeout", "600"}, env: env})
	front = serve(t, launch{server: "gunicorn", source: source, args: []string{"-w", "2", "--timeout", "600"}, env: env})
	x = watch(t, export{config: joined("monitoring_interval: 1s", fmt.Sprintf("apps: [{name: %s, match: {listen: %q}}, {name: %s, match: {listen: %q}}]", shop.name, shop.listen, front.name, front.listen)) +
		mysqlSection(t, "main", s)})
	return x, shop, front
}

// TestChains checks chains of waits on real servers: the root, all parties with their
// connections and lines, and the times. A seed draws the rows that are locked, and in
// which order.
func TestChains(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	s := database(t)
	execute(t, s, "INSERT INTO shop.orders VALUES (3, 0), (4, 0), (5, 0), (6, 0)")
	rows := r.Perm(6)
	row := func(i int) string { return strconv.Itoa(rows[i] + 1) }
	t.Run("a row whose holder waits for an address", func(t *testing.T) {
		x, shop, _ := chainStack(t, s)
		shop.behind(fmt.Sprintf("/ask?name=root&holds=%s&port=%s", row(0), port(deaf(t).Addr().String())))
		shop.truth(t, "root")
		for _, name := range []string{"one", "two"} {
			shop.behind("/want?name=" + name + "&wants=" + row(0))
			shop.truth(t, name)
		}
		c := chainTrial{x, map[*app][]string{shop: {"one", "two"}}, "mysql", []chainLink{{app: shop, name: "root"}}, false}
		c.holds(t, shop)
	})
	t.Run("a row behind a row behind a foreign client and over two apps", func(t *testing.T) {
		x, shop, front := chainStack(t, s)
		foreign := client(t, s)
		do(t, foreign, "BEGIN", "UPDATE shop.orders SET paid = 9 WHERE id = "+row(1))
		shop.behind("/want?name=middle&holds=" + row(2) + "&wants=" + row(1))
		shop.truth(t, "middle")
		front.behind(fmt.Sprintf("/call?name=caller&port=%s&path=%s", port(shop.listen), url.QueryEscape("want?name=last&wants="+row(2))))
		shop.truth(t, "last")
		c := chainTrial{x, map[*app][]string{shop: {"middle", "last"}, front: {"caller"}}, "mysql",
			[]chainLink{{app: shop, name: "middle"}, {id: connectionID(t, foreign)}}, false}
		c.holds(t, shop)
	})
	t.Run("two apps that call each other until no worker is free", func(t *testing.T) {
		x, shop, front := chainStack(t, s)
		path := "quick"
		for _, c := range []struct {
			name string
			to   *app
		}{{"d", front}, {"c", shop}, {"b", front}, {"a", shop}} {
			path = fmt.Sprintf("call?name=%s&port=%s&path=%s", c.name, port(c.to.listen), url.QueryEscape(path))
		}
		front.behind("/" + path)
		shop.truth(t, "d")
		c := chainTrial{x, map[*app][]string{front: {"a", "c"}, shop: {"b", "d"}}, "upstream", make([]chainLink, 2), true}
		c.holds(t, shop, front)
	})
	t.Run("a definition behind a transaction", func(t *testing.T) {
		x, shop, _ := chainStack(t, s)
		shop.behind("/rest?name=root&holds=" + row(3))
		shop.truth(t, "root")
		change := client(t, s)
		background(t, change, "ALTER TABLE shop.orders ADD COLUMN more INT")
		see := client(t, s)
		eventually(t, 20*time.Second, func() error { // it must be in the queue first
			n := 0
			err := see.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.processlist WHERE STATE = 'Waiting for table metadata lock'").Scan(&n)
			return errors.Join(err, wants("number of changes that wait", n, 1))
		})
		shop.behind("/want?name=one&wants=" + row(4))
		shop.truth(t, "one")
		c := chainTrial{x, map[*app][]string{shop: {"one"}}, "mysql", nil, false}
		c.endsAt(t, shop, "root")
	})
	t.Run("busy and healthy", func(t *testing.T) {
		x, shop, front := chainStack(t, s)
		looks := 0
		var slow atomic.Bool
		quiet(t, 25*time.Second, 300*time.Millisecond, "quick requests make no chain", func() error {
			list, err := x.chains(shop, front)
			if slow.Load() { // it may have waited for a second, and then a chain is right
				return err
			}
			for _, a := range []*app{shop, front, shop} {
				a.quick("/quick?name=q&holds="+row(looks%6), &slow)
			}
			looks++
			return all(err, wants(fmt.Sprintf("chains in %+v", list), len(list), 0))
		})
		t.Logf("%d looks; a request was not quick: %t", looks, slow.Load())
	})
}

// quick starts a request that is not waited for, and notes when it takes almost a second.
func (a *app) quick(path string, slow *atomic.Bool) {
	timer := time.AfterFunc(900*time.Millisecond, func() { slow.Store(true) })
	go func() {
		defer timer.Stop()
		a.get(path)
	}()
}
