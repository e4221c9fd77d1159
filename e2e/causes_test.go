package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// causeApp is an app whose requests wait for what they are told to.
const causeApp = `import os, socket, threading, time
from urllib.parse import parse_qs
import pymysql, redis

LOCK = threading.Lock()

def query(sql):
    c = pymysql.connect(host="127.0.0.1", port=int(os.environ["DB"]), user="shop", password="shop", database="shop")
    c.cursor().execute("SET SESSION innodb_lock_wait_timeout = 600")
    c.cursor().execute(sql)
    c.close()

def locked(): query("UPDATE orders SET paid = paid + 1 WHERE id = 1")
def slow(): query("SELECT SLEEP(30)")
def cached(): redis.Redis(port=int(os.environ["REDIS"])).get("key")

def silent():
    with socket.create_connection(("127.0.0.1", int(os.environ["SILENT"]))) as s: s.recv(1)

def mutex():
    with LOCK: time.sleep(30)

def app(env, start):
    view = globals().get(env["PATH_INFO"][1:])
    if view: view()
    start("200 OK", [("Content-Length", "2")])
    return [b"ok"]
`

// causeOf returns what the exporter says holds up an app.
func (x *exporter) causeOf(app string) (cause, peer, sentence string, err error) {
	_, body, err := x.get("/api/v1/status")
	if err != nil {
		return "", "", "", err
	}
	var got struct {
		Apps []struct {
			Name       string
			Bottleneck *struct{ Cause, Peer, Sentence *string }
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return "", "", "", err
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, a := range got.Apps {
		if a.Name == app && a.Bottleneck != nil {
			return text(a.Bottleneck.Cause), text(a.Bottleneck.Peer), text(a.Bottleneck.Sentence), nil
		}
	}
	return "", "", "", fmt.Errorf("%s is not judged", app)
}

// Apps beside each other, one held up by each family of causes and one that is well: each
// has its own cause, in the metric and in the status, and none after the end.
func TestCausesSmall(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uvicorn", python)
	s := database(t)
	r := startRedis(t)
	source := write(t, filepath.Join(t.TempDir(), "cause.py"), causeApp)
	env := []string{fmt.Sprintf("DB=%d", s.Port), fmt.Sprintf("REDIS=%d", r.port), fmt.Sprintf("SILENT=%d", deaf(t))}
	gunicorn := func(args ...string) *app {
		return serve(t, launch{server: "gunicorn", source: source, args: append(args, "--timeout", "600"), env: env})
	}
	loops := serve(t, launch{server: "uvicorn", name: unique("loops"), source: write(t, filepath.Join(openDir(t), "loops.py"), loopApp), args: []string{"--interface", "asgi3", "--lifespan", "off"}})
	cases := []struct {
		app              *app
		path, want, peer string
	}{
		{gunicorn("-w", "2"), "/locked", "db_lock", "mysql:main"},
		{gunicorn("-w", "2"), "/slow", "db_slow", "mysql:main"},
		{gunicorn("-w", "2"), "/silent", "upstream", ""},
		{gunicorn("-w", "2"), "/cached", "redis", "redis:cache"},
		{gunicorn("-w", "1", "--threads", "3"), "/mutex", "lock", ""},
		{loops, "/block/8000", "loop_blocked", ""},
		{gunicorn("-w", "2"), "", "", ""},
	}
	var apps []string
	for _, c := range cases {
		apps = append(apps, fmt.Sprintf("{name: %s, match: {listen: %q}}", c.app.name, c.app.listen))
	}
	x := watch(t, export{config: joined("monitoring_interval: 1s", "thresholds: {response_time: {warning: 2, critical: 4}}", "apps: ["+strings.Join(apps, ", ")+"]") +
		mysqlSection(t, "main", s) + redisSection(t, "cache", r.url())})
	holder := client(t, s)
	do(t, holder, "BEGIN", "UPDATE shop.orders SET paid = 9 WHERE id = 1")
	go r.cli("CLIENT", "PAUSE", "45000", "ALL")
	for _, c := range cases {
		for range 5 {
			if c.path != "" {
				c.app.behind(c.path)
			}
		}
	}
	eventually(t, 40*time.Second, func() error {
		var errs []error
		m := x.scrape(t)
		for _, c := range cases {
			cause, peer, sentence, err := x.causeOf(c.app.name)
			errs = append(errs, err, wants(c.path, cause, c.want))
			if c.peer != "" {
				errs = append(errs, wants(c.path+": peer", peer, c.peer))
			}
			if c.want != "" {
				errs = append(errs, m.want(1, "resp_bottleneck", "app="+c.app.name, "cause="+c.want))
				if !strings.HasPrefix(sentence, c.app.name+" is held up by ") {
					errs = append(errs, fmt.Errorf("%s: %q", c.path, sentence))
				}
			}
			sum, _ := m.sum("resp_bottleneck", "app="+c.app.name)
			errs = append(errs, wants(c.path+": causes", sum <= 1, true))
		}
		return all(errs...)
	})
	do(t, holder, "ROLLBACK")
	eventually(t, 60*time.Second, func() error {
		cause, _, _, err := x.causeOf(cases[0].app.name)
		return all(err, wants("after the end", cause, ""))
	})
}
