package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// config has everything on. %[1]s is the password of both servers, %[2]d and %[3]d their
// ports, %[4]s the address for StatsD, %[5]d the port of the app, and %[6]s a file with a
// token.
const config = `statsd: {listen: ["udp://%[4]s"]}
mysql: [{name: main, dsn: "resp:%[1]s@tcp(127.0.0.1:%[2]d)/"}]
redis: [{name: cache, url: "redis://resp:%[1]s@127.0.0.1:%[3]d"}]
apps:
  - name: shop
    match: {listen: ":%[5]d"}
    pools: [{name: main, mysql: main, user: resp_app, size: 12, max_overflow: 8}]
    sessions: [{redis: cache, prefix: "session:", lifetime: 2h}]
healing:
  mode: enforce
  token_file: %[6]s
  identity: {label: instance, value: "this-host"}
  rules:
    - name: connections
      match: {alertname: RespPoolLeak}
      steps: [{action: kill_leaked_connections, with: {min_idle: 10s, max_victims: 20, max_fraction: 0.9, max_trx_rows: 1000, procedure: resp_heal.kill_idle}}, {action: escalate}]
    - name: memory
      match: {alertname: RespWorkerMemoryLeak}
      steps: [{action: recycle_worker, with: {pick: largest, import_check: [/usr/bin/python3, -B, -c, "import insidepool"]}}, {action: escalate}]
`

// everything is what one measurement runs.
type everything struct {
	target rig.Target
	app    string // its base URL
}

// begin starts the servers, the app and, last, the exporter, whose state directory has a
// history with so many requests a second.
func (s settings) begin(ctx context.Context, r *rig.Rig, path string, busy int) (*everything, func(), error) {
	stores, err := r.Stores(ctx, 100)
	if stores == nil {
		return nil, func() {}, err
	}
	if err == nil {
		_, err = stores.Hold(ctx, 0, 0) // makes the users
	}
	if err == nil {
		err = sessions(ctx, stores.Port)
	}
	if err != nil {
		return nil, stores.Stop, err
	}
	udp, err := run.FreeUDPPort()
	if err != nil {
		return nil, stores.Stop, err
	}
	statsd := fmt.Sprintf("127.0.0.1:%d", udp)
	port, err := s.serve(ctx, r, stores, statsd)
	if err != nil {
		return nil, stores.Stop, err
	}
	state := filepath.Join(r.Dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, stores.Stop, fmt.Errorf("state directory: %w", err)
	}
	if err := fill(ctx, state, busy, time.Now()); err != nil {
		return nil, stores.Stop, err
	}
	token, err := r.Write("token", strings.Repeat("x", 40))
	if err != nil {
		return nil, stores.Stop, err
	}
	spec := run.Spec{Path: path, Args: []string{"--state.dir=" + state}}
	target, err := r.Configured(ctx, spec, fmt.Sprintf(config, rig.Password, stores.MySQL.Port, stores.Port, statsd, port, token))
	return &everything{target, fmt.Sprintf("http://127.0.0.1:%d", port)}, stores.Stop, err
}

// serve starts gunicorn with four workers of the app, and returns its port.
func (s settings) serve(ctx context.Context, r *rig.Rig, stores *rig.Stores, statsd string) (int, error) {
	lib, err := filepath.Abs(s.lib)
	if err != nil {
		return 0, err
	}
	port, err := run.FreePort(0)
	if err != nil {
		return 0, err
	}
	bind := fmt.Sprintf("127.0.0.1:%d", port)
	_, err = r.Start(ctx, run.Spec{
		Name: "shop", Path: "gunicorn", Dir: s.shop,
		Args: []string{"--workers", "4", "--bind", bind, "--name", "shop", "insidepool:app"},
		Env: []string{
			"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + lib, "RESP_STATSD=udp://" + statsd, "SLOW=60",
			fmt.Sprintf("POOL_URL=mysql+pymysql://resp_app:%s@127.0.0.1:%d/shop", rig.Password, stores.MySQL.Port),
		},
	}, "http://"+bind+"/healthz")
	return port, err
}

// sessions sets the right of the exporter's user to read sessions, and writes some.
func sessions(ctx context.Context, port int) error {
	for _, args := range [][]string{
		{"ACL", "SETUSER", "resp", "~*", "+@read", "+scan"},
		{"EVAL", "for i=1,1000 do redis.call('SET', 'session:'..i, string.rep('x', 120), 'EX', 7200) end", "0"},
	} {
		out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-p", strconv.Itoa(port)}, args...)...).CombinedOutput() //nolint:gosec // a server of our own
		if err != nil || strings.HasPrefix(string(out), "ERR") {
			return fmt.Errorf("redis-cli %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// fill writes a history of the hour before now into a state directory, with so many
// requests a second: of several apps and views, at one of a few lines each, and of the
// same worker for some seconds.
func fill(ctx context.Context, dir string, busy int, now time.Time) error {
	const apps, views, lines, stays = 4, 20, 5, 7
	h := history.New(history.Options{
		Settings: history.Settings{Keep: time.Hour, MaxBytes: 16 << 20}, StateDir: dir,
		Threads: func() []model.WorkerThreads { return nil },
	})
	list := make([]history.Request, busy)
	for second := range 3600 - 60 {
		for i := range list {
			n := i + second/stays*31
			list[i] = history.Request{
				App: fmt.Sprintf("app%d", i%apps), Slot: strconv.Itoa(i / apps), PID: 1000 + i,
				View: fmt.Sprintf("shop.view%d", n%views), On: "mysql", Peer: "mysql:main", Kind: "mysql",
				Line:    model.Frame{Function: fmt.Sprintf("function%d", n%views), File: "/srv/shop/shop/views.py", Line: n % lines * 10},
				Digest:  fmt.Sprintf("SELECT * FROM orders WHERE id = ? /* %d */", n%views),
				Seconds: float64((second+i)%stays) + 0.5,
			}
		}
		h.Record(now.Add(time.Duration(second-3600)*time.Second), list)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel() // Run then opens the directory, stores what is in memory, and returns
	return h.Run(ctx)
}
