package chains

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	patience = time.Minute
	config   = `monitoring_interval: 1s
mysql: [{name: main, dsn: "trial:trial@tcp(127.0.0.1:%d)/", fallback_dsns: ["trial:trial@unix(%s)/"]}]
redis: [{name: cache, url: "redis://127.0.0.1:%d"}]
apps:
  - {name: shop, match: {listen: "127.0.0.1:%d"}}
  - {name: blog, match: {listen: "127.0.0.1:%d"}}
`
	schema = `CREATE DATABASE trial;
CREATE TABLE trial.things (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB;
INSERT INTO trial.things VALUES (1,0),(2,0),(3,0),(4,0);
CREATE USER 'trial'@'127.0.0.1' IDENTIFIED BY 'trial'; CREATE USER 'trial'@'localhost' IDENTIFIED BY 'trial';
GRANT ALL ON *.* TO 'trial'@'127.0.0.1'; GRANT ALL ON *.* TO 'trial'@'localhost'`
)

// rig is two apps with their stores and the exporter that watches them. shop has
// four sync workers, blog one worker of six threads; blog reaches the database by
// its UNIX socket where local is set.
type rig struct {
	dir      string
	db       *mariadb.Server
	root     *sql.DB
	procs    run.Group
	redis    int
	apps     map[string]string // address by name
	exporter string            // its URL
	silent   net.Listener      // accepts connections and never answers
	client   *http.Client

	calls sync.WaitGroup
}

// newRig starts everything.
func newRig(ctx context.Context, exporter string, draws *rand.Rand, local, mute bool) (_ *rig, err error) {
	dir, err := os.MkdirTemp("", "chains")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, apps: map[string]string{}, client: &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.silent, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	more := []string{"--max-connections=60"}
	if local && !mute { // it is the only source of who has a connection over the UNIX socket
		more = append(more, "--performance-schema=ON")
	}
	if r.db, err = mariadb.Start(ctx, dir, more...); err != nil {
		return nil, err
	}
	if err := r.db.Exec(schema); err != nil {
		return nil, err
	}
	if r.root, err = r.db.OpenTCP("root", ""); err != nil {
		return nil, err
	}
	if err := r.startRedis(ctx); err != nil {
		return nil, err
	}
	for _, name := range []string{"shop", "blog"} {
		if err := r.startApp(ctx, name, draw(draws), local && name == "blog", draws.IntN(2) == 0); err != nil {
			return nil, err
		}
	}
	return r, r.startExporter(ctx, exporter)
}

// start starts a program and waits until answers returns nil.
func (r *rig) start(ctx context.Context, spec run.Spec, answers func() error) error {
	spec.Logs, spec.Dir = r.dir, r.dir
	_, err := r.procs.Start(ctx, spec, patience, func(context.Context) error { return answers() })
	return err
}

// startRedis starts a Redis on a free port and waits until it answers.
func (r *rig) startRedis(ctx context.Context) (err error) {
	if r.redis, err = run.FreePort(0); err != nil {
		return err
	}
	args := []string{"--port", strconv.Itoa(r.redis), "--bind", "127.0.0.1", "--save", "", "--dir", r.dir, "--enable-debug-command", "yes", "--busy-reply-threshold", "500"}
	return r.start(ctx, run.Spec{Name: "redis", Path: "redis-server", Args: args}, func() error { return r.redisDo("PING") })
}

// redisDo sends one command without arguments that hold spaces, and waits for the
// first line of its response.
func (r *rig) redisDo(command string) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", r.redis), time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(90 * time.Second))
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// startApp starts an app and waits until it answers. local: it connects to MariaDB over its
// socket.
func (r *rig) startApp(ctx context.Context, name, text string, local, blocking bool) error {
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	r.apps[name] = at
	if err := os.WriteFile(filepath.Join(r.dir, name+"_app.py"), []byte(text), 0o644); err != nil {
		return err
	}
	where := strconv.Itoa(r.db.Port)
	if local {
		where = r.db.Socket
	}
	env := []string{"PYTHONDONTWRITEBYTECODE=1", "MYSQL=" + where, "REDIS=" + strconv.Itoa(r.redis), "TRUTH=" + r.truthFile(name)}
	if blocking {
		env = append(env, "BLOCKING=1")
	} else {
		env = append(env, "READ_TIMEOUT=100")
	}
	args := []string{"--bind", at, "--timeout", "300", "--name", name}
	if name == "shop" {
		args = append(args, "--workers", "4")
	} else {
		args = append(args, "--workers", "1", "--threads", "6")
	}
	return r.start(ctx, run.Spec{Name: name, Path: "gunicorn", Args: append(args, name+"_app:app"), Env: env}, func() error {
		return r.get(ctx, name, "/drop")
	})
}

// startExporter starts the exporter for both apps and the stores, and waits until it is
// ready.
func (r *rig) startExporter(ctx context.Context, path string) error {
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	ports := map[string]int{}
	for name, at := range r.apps {
		_, p, _ := strings.Cut(at, ":")
		ports[name], _ = strconv.Atoi(p)
	}
	file := filepath.Join(r.dir, "exporter.yml")
	text := fmt.Sprintf(config, r.db.Port, r.db.Socket, r.redis, ports["shop"], ports["blog"])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	r.exporter = "http://" + at
	return r.start(ctx, run.Spec{Name: "exporter", Path: path, Args: []string{"--web.listen-address=" + at, "--config.file=" + file}}, func() error {
		s, err := r.status(ctx)
		if err == nil && len(s.Apps) < 2 {
			err = errors.New("the apps are not seen yet")
		}
		return err
	})
}

// truthFile returns the file in which an app says what it does.
func (r *rig) truthFile(app string) string { return filepath.Join(r.dir, "truth-"+app) }

// get sends a request to an app.
func (r *rig) get(ctx context.Context, app, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.apps[app]+path, nil)
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

// call sends a request in the background that takes the steps, and returns when
// it has come to the step of that name.
func (r *rig) call(ctx context.Context, app, tag, view, steps, until string) error {
	path := "/" + view + "?tag=" + tag + "&steps=" + url.QueryEscape(steps)
	r.calls.Go(func() { _ = r.get(ctx, app, path) })
	return r.reached(ctx, app, tag, until)
}

// reached waits until a request has come to a step.
func (r *rig) reached(ctx context.Context, app, tag, step string) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, ok := r.truth(app, tag, step); ok {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("%s of %s has not come to %s", tag, app, step)
		}
	}
}

// note is a line of the truth.
type note struct {
	Tag, Step, View, Function, File string
	PID, TID, Line                  int
	Connection                      uint64
	At                              float64
}

// truth returns the last note of a tag about a step.
func (r *rig) truth(app, tag, step string) (out note, ok bool) {
	b, err := os.ReadFile(r.truthFile(app))
	if err != nil {
		return out, false
	}
	for line := range strings.Lines(string(b)) {
		var n note
		if json.Unmarshal([]byte(line), &n) == nil && n.Tag == tag && n.Step == step {
			out, ok = n, true
		}
	}
	return out, ok
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
	if r.silent != nil {
		_ = r.silent.Close()
	}
	return os.RemoveAll(r.dir)
}
