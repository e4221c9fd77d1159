// Package causes makes faults with real servers and apps, and compares what the exporter
// says holds up the app with what does, look by look.
package causes

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

var (
	//go:embed app.py
	appSource string
	//go:embed loop.py
	loopSource string
)

const (
	patience = 3 * time.Minute
	config   = `monitoring_interval: 5s
statsd: {listen: ["udp://127.0.0.1:%d"]}
thresholds: {task_age: {warning: 15, critical: 60}}
mysql: [{name: main, dsn: "resp:resp@tcp(127.0.0.1:%d)/"}]
redis: [{name: cache, url: "redis://127.0.0.1:%d"}]
apps:
  - name: %s
    match: {listen: "127.0.0.1:%d"}
    pools: [{name: main, mysql: main, size: %d}]
    tasks: [{type: rq, redis: cache, queues: [jobs]}]
%s`
	schema = `CREATE DATABASE trial;
CREATE TABLE trial.things (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB;
INSERT INTO trial.things WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 50) SELECT i, 0 FROM s;
CREATE USER 'trial'@'127.0.0.1' IDENTIFIED BY 'trial'; GRANT ALL ON trial.* TO 'trial'@'127.0.0.1';
CREATE USER 'resp'@'127.0.0.1' IDENTIFIED BY 'resp'; GRANT ALL ON *.* TO 'resp'@'127.0.0.1'`
)

// mode is what requests do, see app.py.
type mode map[string]any

// Kind is a server with its workers.
type Kind string

// The kinds.
const (
	Sync    Kind = "gunicorn sync"
	GThread Kind = "gunicorn gthread"
	UWSGI   Kind = "uwsgi"
	Uvicorn Kind = "uvicorn"
)

// rig is one app with its stores, its clients and the exporter that watches it.
type rig struct {
	c        *Case
	draws    *rand.Rand
	dir      string
	name     string // of the app
	app      string // address
	port     int
	db       *mariadb.Server
	root     *sql.DB
	redis    int
	redisAt  *run.Proc
	master   *run.Proc
	watcher  *run.Proc // the exporter
	procs    run.Group
	groups   []string
	exporter string
	upstream *upstream
	statsd   int
	load     *load
	client   *http.Client
	calls    sync.WaitGroup
}

// Lab is what runs have in common.
type Lab struct {
	Exporter string
	data     string        // directory with a data directory that is copied
	starts   chan struct{} // of those that start now
}

// NewLab returns a lab. Two runs at a time start their servers in it.
func NewLab(ctx context.Context, exporter string) (*Lab, error) {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		return nil, err
	}
	l := &Lab{Exporter: exporter, data: dir, starts: make(chan struct{}, 2)}
	db, err := mariadb.Start(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	err = db.Exec(schema)
	db.Stop()
	return l, err
}

// Close removes the files of the lab.
func (l *Lab) Close() error { return os.RemoveAll(l.data) }

// newRig starts everything for one run.
func (l *Lab) newRig(ctx context.Context, c *Case, draws *rand.Rand) (_ *rig, err error) {
	select {
	case l.starts <- struct{}{}:
		defer func() { <-l.starts }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	dir, err := os.MkdirTemp("", "causes")
	if err != nil {
		return nil, err
	}
	names := []string{"shop", "blog", "desk", "mill", "farm", "yard"}
	r := &rig{
		c: c, draws: draws, dir: dir, name: fmt.Sprintf("%s%d", names[draws.IntN(len(names))], draws.IntN(90)),
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.upstream, err = newUpstream(); err != nil {
		return nil, err
	}
	most := "--max-connections=100"
	if c.connections > 0 {
		most = fmt.Sprintf("--max-connections=%d", c.connections)
	}
	if err := mariadb.Copy(ctx, l.data, dir); err != nil {
		return nil, err
	}
	if r.db, err = mariadb.Start(ctx, dir, most, "--extra-max-connections=0", "--innodb-lock-wait-timeout=100"); err != nil {
		return nil, err
	}
	if r.root, err = r.db.Root(); err != nil {
		return nil, err
	}
	if err := r.startRedis(ctx); err != nil {
		return nil, err
	}
	if err := r.setMode(c.base); err != nil {
		return nil, err
	}
	if r.statsd, err = run.FreeUDPPort(); err != nil {
		return nil, err
	}
	if r.port, err = run.FreePort(0); err != nil {
		return nil, err
	}
	r.app = fmt.Sprintf("127.0.0.1:%d", r.port)
	if err := r.startExporter(ctx, l.Exporter); err != nil {
		return nil, err
	}
	return r, r.startApp(ctx)
}

func (r *rig) start(ctx context.Context, spec run.Spec, answers func() error) (*run.Proc, error) {
	spec.Logs, spec.Dir = r.dir, r.dir
	return r.procs.Start(ctx, spec, patience, func(context.Context) error { return answers() })
}

func (r *rig) startRedis(ctx context.Context) (err error) {
	if r.redis, err = run.FreePort(0); err != nil {
		return err
	}
	args := []string{"--port", strconv.Itoa(r.redis), "--bind", "127.0.0.1", "--save", "", "--dir", r.dir, "--enable-debug-command", "yes"}
	r.redisAt, err = r.start(ctx, run.Spec{Name: "redis", Path: "redis-server", Args: args}, func() error { return r.redisDo("PING") })
	return err
}

// redisDo sends one command without arguments that hold blanks, and waits for the first
// bytes of its reply.
func (r *rig) redisDo(command string) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", r.redis), time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// setMode sets what requests do from now on.
func (r *rig) setMode(m mode) error {
	all := mode{}
	maps.Copy(all, r.c.base)
	maps.Copy(all, m)
	for k, v := range all {
		if s, ok := v.(string); ok {
			all[k] = r.upstream.fill(s)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	next := filepath.Join(r.dir, "mode.new")
	if err := os.WriteFile(next, b, 0o644); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(r.dir, "mode"))
}

// server returns the program of the app and its arguments.
func (r *rig) server() (string, []string) {
	statsd := fmt.Sprintf("127.0.0.1:%d", r.statsd)
	gunicorn := []string{"--bind", r.app, "--name", r.name, "--timeout", "120"}
	if !r.c.silent {
		gunicorn = append(gunicorn, "--statsd-host", statsd, "--statsd-prefix", r.name)
	}
	n, threads := strconv.Itoa(max(r.c.workers, 1)), strconv.Itoa(max(r.c.threads, 1))
	switch r.c.kind {
	case Sync:
		return "gunicorn", append(gunicorn, "-w", n, r.name+"_app:app")
	case GThread:
		return "gunicorn", append(gunicorn, "-w", n, "-k", "gthread", "--threads", threads, r.name+"_app:app")
	case UWSGI:
		return "uwsgi", []string{
			"--plugin", "python3", "--http-socket", r.app, "--master", "--processes", n, "--threads", threads, "--need-app", "--lazy-apps",
			"--wsgi-file", r.name + "_app.py", "--callable", "app", "--listen", "100", "--die-on-term", "--disable-logging",
		}
	default:
		return "uvicorn", []string{"--host", "127.0.0.1", "--port", strconv.Itoa(r.port), "--log-level", "warning", "--workers", n, r.name + "_app:app"}
	}
}

func (r *rig) startApp(ctx context.Context) (err error) {
	source := appSource
	if r.c.kind == Uvicorn {
		source = loopSource
	}
	if err := os.WriteFile(filepath.Join(r.dir, r.name+"_app.py"), []byte(source), 0o644); err != nil {
		return err
	}
	env := []string{
		"PYTHONDONTWRITEBYTECODE=1", "MYSQL=" + strconv.Itoa(r.db.Port), "REDIS=" + strconv.Itoa(r.redis), "MODE=" + filepath.Join(r.dir, "mode"),
		"POOL=" + strconv.Itoa(r.c.poolSize()), "POOL_TIMEOUT=" + strconv.Itoa(max(r.c.poolTimeout, 1)),
	}
	path, args := r.server()
	r.master, err = r.start(ctx, run.Spec{Name: "app", Path: path, Args: args, Env: env}, func() error { return r.get(ctx, "/") })
	return err
}

func (r *rig) startExporter(ctx context.Context, path string) error {
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	file := filepath.Join(r.dir, "exporter.yml")
	text := fmt.Sprintf(config, r.statsd, r.db.Port, r.redis, r.name, r.port, r.c.poolSize(), r.upstream.fill(r.c.more))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	r.exporter = "http://" + at
	state, err := r.stateArgs()
	if err != nil {
		return err
	}
	args := append([]string{"--web.listen-address=" + at, "--config.file=" + file}, state...)
	r.watcher, err = r.start(ctx, run.Spec{Name: "exporter", Path: path, Args: args}, func() error {
		_, err := r.status(ctx)
		return err
	})
	return err
}

// get sends a request to the app.
func (r *rig) get(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.app+path, nil)
	if err != nil {
		return err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}

// shell runs statements on a connection that is no worker's; it lives until free is
// called.
func (r *rig) shell(ctx context.Context, statements ...string) (free func(), err error) {
	c, err := r.root.Conn(ctx)
	if err != nil {
		return nil, err
	}
	free = func() { _ = c.Raw(func(any) error { return errors.New("done") }); _ = c.Raw(badConn); _ = c.Close() }
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			free()
			return nil, err
		}
	}
	return free, nil
}

// close ends everything.
func (r *rig) close() error {
	r.procs.Stop()
	if r.root != nil {
		_ = r.root.Close()
	}
	if r.db != nil {
		r.db.Stop()
	}
	if r.upstream != nil {
		r.upstream.close()
	}
	for _, g := range r.groups {
		for range 50 {
			if os.Remove(g) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	return os.RemoveAll(r.dir)
}
