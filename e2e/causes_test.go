package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
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
def slow(): query("SELECT SLEEP(600)")
def cached(): redis.Redis(port=int(os.environ["REDIS"])).get("key")

def silent():
    with socket.create_connection(("127.0.0.1", int(os.environ["SILENT"]))) as s: s.recv(1)

def mutex():
    with LOCK: time.sleep(600)

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

// causeCase is an app, what its requests do, and what the exporter says of it.
type causeCase struct {
	app              *app
	path, want, peer string
	told             bool // it was told
}

// causeCases starts the apps side by side, and returns when all answer.
func causeCases(t *testing.T, env []string) []*causeCase {
	t.Helper()
	source := write(t, filepath.Join(t.TempDir(), "cause.py"), causeApp)
	gunicorn := func(args ...string) *app {
		return serve(t, launch{server: "gunicorn", source: source, args: append(args, "--timeout", "600"), env: env, wrap: []string{"env"}})
	}
	loops := write(t, filepath.Join(openDir(t), "loops.py"), loopApp)
	cases := []*causeCase{
		{app: gunicorn("-w", "2"), path: "/locked", want: "db_lock", peer: "mysql:main"},
		{app: gunicorn("-w", "2"), path: "/slow", want: "db_slow", peer: "mysql:main"},
		{app: gunicorn("-w", "2"), path: "/silent", want: "upstream"},
		{app: gunicorn("-w", "2"), path: "/cached", want: "redis", peer: "redis:cache"},
		{app: gunicorn("-w", "1", "--threads", "3"), path: "/mutex", want: "lock"},
		{app: serve(t, launch{server: "uvicorn", name: unique("loops"), source: loops, args: []string{"--interface", "asgi3", "--lifespan", "off"}, wrap: []string{"env"}}), path: "/block/600000", want: "loop_blocked"},
		{app: gunicorn("-w", "1")},
	}
	for _, c := range cases {
		eventually(t, 30*time.Second, func() error { return all(c.app.Err(), wants("status", c.app.get("/healthz"), http.StatusOK)) })
	}
	return cases
}

// check returns an error until the cause was told. It fails at once if another one is.
func (c *causeCase) check(t *testing.T, x *exporter, m metrics) error {
	t.Helper()
	sum, _ := m.sum("resp_bottleneck", "app="+c.app.name)
	cause, peer, sentence, err := x.causeOf(c.app.name)
	switch {
	case err != nil:
		return err
	case cause != "" && cause != c.want, sum > 1:
		t.Fatalf("%s: %s, %v causes: %s", c.path, cause, sum, sentence)
	case cause == "":
		return wants(c.path, c.told, c.want != "")
	case !strings.HasPrefix(sentence, c.app.name+" is held up by "):
		t.Fatalf("%s: %q", c.path, sentence)
	}
	err = m.want(1, "resp_bottleneck", "app="+c.app.name, "cause="+c.want)
	if c.peer != "" {
		err = all(err, wants(c.path+": peer", peer, c.peer))
	}
	c.told = c.told || err == nil
	return err
}

// Apps beside each other, one held up by each family of causes and one that is well: each
// has its own cause and no other one, in the metric and in the status, and none after the
// end. What holds them up lasts until the test ends it, however long the machine takes.
func TestCausesSmall(t *testing.T) {
	t.Parallel()
	need(t, "gunicorn", "uvicorn", python)
	s := database(t)
	r := startRedis(t)
	cases := causeCases(t, []string{fmt.Sprintf("DB=%d", s.Port), fmt.Sprintf("REDIS=%d", r.port), "SILENT=" + port(deaf(t).Addr().String())})
	var apps []string
	for _, c := range cases {
		apps = append(apps, fmt.Sprintf("{name: %s, match: {listen: %q}}", c.app.name, c.app.listen))
	}
	x := watch(t, export{config: joined("monitoring_interval: 1s", "thresholds: {response_time: {warning: 2, critical: 4}}", "apps: ["+strings.Join(apps, ", ")+"]") +
		mysqlSection(t, "main", s) + redisSection(t, "cache", r.url())})
	holder := client(t, s)
	do(t, holder, "BEGIN", "UPDATE shop.orders SET paid = 9 WHERE id = 1")
	r.cli("CLIENT", "PAUSE", "600000", "ALL")
	for _, c := range cases {
		for range 5 {
			if c.path != "" {
				c.app.behind(c.path)
			}
		}
	}
	eventually(t, 30*time.Second, func() (err error) {
		m := x.scrape(t)
		for _, c := range cases {
			err = all(err, c.check(t, x, m))
		}
		return err
	})
	do(t, holder, "ROLLBACK")
	eventually(t, 30*time.Second, func() error {
		cause, _, _, err := x.causeOf(cases[0].app.name)
		return all(err, wants("after the end", cause, ""))
	})
	for _, c := range cases { // their requests do not end
		_ = c.app.Signal(syscall.SIGKILL)
	}
}
