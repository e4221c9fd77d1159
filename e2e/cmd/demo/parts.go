package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	app     = "shop" // its name in the exporter's configuration
	workers = 4      // of gunicorn
	jobs    = 1      // RQ workers

	// leakTimeScale has a verdict about a leak after half a minute instead of 75 minutes.
	leakTimeScale = "150"

	interval = 2 * time.Second // between two scrapes, two rounds of the rules, and two looks of the slow samplers
)

// configuration is the exporter's. The looks are closer together than by
// default, and a leak and a waiting job count sooner, so that a visitor need not
// wait.
const configuration = `monitoring_interval: %s
statsd: {listen: ["udp://%s"]}
thresholds: {task_age: {warning: 10, critical: 60}}
apps:
  - name: ` + app + `
    match: {listen: %q}
    thresholds: {memory: {warning: %g, critical: %g}}
    pools: [{name: main, mysql: main, user: shop, size: 5, max_overflow: 10, leak_after: 10s}]
    sessions: [{redis: cache, prefix: "session:", lifetime: 2h}]
    tasks: [{type: rq, redis: cache, queues: [default]}]
mysql:
  - {name: main, dsn: "resp@tcp(%s)/", password_file: %s}
redis:
  - {name: cache, url: "redis://resp@%s/0", password_file: %s}
`

// startExporter starts the exporter at its default addresses, or at others if
// they are taken.
func (s *stack) startExporter(ctx context.Context, shop string) error {
	var args []string
	// The default is every address, so that is what must be free.
	address := "127.0.0.1:9868"
	if l, err := net.Listen("tcp", ":9868"); err == nil {
		_ = l.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		address = fmt.Sprintf("127.0.0.1:%d", port)
		args = append(args, "--web.listen-address="+address)
	}
	statsd := "127.0.0.1:9125"
	if c, err := net.ListenPacket("udp", statsd); err == nil {
		_ = c.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return err
		}
		statsd = fmt.Sprintf("127.0.0.1:%d", port)
	}
	s.exporterURL = "http://" + address
	s.shop, s.statsd = shop, statsd
	file, err := s.configure()
	if err != nil {
		return err
	}
	args = append(args, "--config.file="+file, "--state.dir="+filepath.Join(s.dir, "state"), "--control.dir="+s.controlDir(), "--leak.time-scale="+leakTimeScale)
	return s.launch(ctx, run.Spec{Name: "exporter", Path: s.exporterPath, Args: args}, answers(s.exporterURL+"/-/ready"))
}

// configure writes the exporter's configuration and its passwords.
func (s *stack) configure() (file string, err error) {
	mysql, err := s.write("resp-mysql", s.db.secret["resp"]+"\n")
	if err != nil {
		return "", err
	}
	redis, err := s.write("resp-redis", s.cache.secret["resp"]+"\n")
	if err != nil {
		return "", err
	}
	if s.tokenFile, err = s.write("webhook-token", s.token+"\n"); err != nil {
		return "", err
	}
	heals := fmt.Sprintf(healing, s.tokenFile, s.instance())
	if s.secret != nil {
		heals = strings.Replace(heals, "mode: enforce", "mode: dry_run", 1)
	}
	text := fmt.Sprintf(configuration, interval, s.statsd, s.shop, s.warning, s.critical, s.db.address, mysql, s.cache.address, redis)
	return s.write("resp-exporter.yml", text+heals)
}

// shopEnv returns the environment of programs that run the shop's code, for that user of
// the database.
func (s *stack) shopEnv(user string) []string {
	redis := fmt.Sprintf("redis://shop:%s@%s/0", s.cache.secret["shop"], s.cache.address)
	return []string{
		"PYTHONDONTWRITEBYTECODE=1", "SHOP_REDIS=" + redis, "RQ_REDIS_URL=" + redis, "SHOP_UPSTREAM=" + s.upstream.Addr().String(),
		fmt.Sprintf("SHOP_DB=mysql+pymysql://%s:%s@%s/shop", user, s.db.secret[user], s.db.address),
	}
}

// controlDir returns the directory in which the exporter asks the shop to do something.
func (s *stack) controlDir() string { return filepath.Join(s.dir, "control") }

// startShop starts the shop with resp_flask.py, whose settings are in the environment, and
// the proxy in front of it, and waits until both answer.
func (s *stack) startShop(ctx context.Context, front string) error {
	err := s.launch(ctx, run.Spec{
		Name: "shop", Path: "gunicorn", Dir: s.shopDir,
		// Longer than a fault page may take, so that gunicorn does not end a fault early.
		Args: []string{"--workers", strconv.Itoa(workers), "--timeout", "120", "--bind", s.shop, "--statsd-host", s.statsd, "--name", app, "shop:app"},
		Env: append(s.shopEnv("shop"), "PYTHONPATH="+s.integration, "RESP_APP="+app, "RESP_STATSD=udp://"+s.statsd, "RESP_CONTROL_DIR="+s.controlDir(),
			"RUNTIME_DIRECTORY="+s.dir, "SHOP_FRONT=1"),
	}, answers("http://"+s.shop+"/products"))
	if err != nil {
		return err
	}
	return s.startFront(ctx, front, s.shop)
}

// startWorkers starts the RQ workers. The module jobs has their settings and the reasons.
func (s *stack) startWorkers(ctx context.Context) error {
	for n := 1; n <= jobs; n++ {
		spec := run.Spec{
			Name: fmt.Sprintf("rq-%d", n), Path: "rq", Dir: s.shopDir, Logs: s.dir,
			Args: []string{"worker", "-c", "jobs", "default"},
			Env:  s.shopEnv("jobs"),
			// One that runs in a terminal counts as a person's, and is left alone.
			Session: true,
		}
		if err := s.supervise(spec); err != nil {
			return err
		}
		if err := s.redisSays(ctx, s.part(spec.Name), "SCARD rq:workers", fmt.Sprintf(":%d", n)); err != nil {
			return err
		}
	}
	return nil
}
