package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
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
    pools: [{name: main, mysql: main, user: shop, size: 5, max_overflow: 10, leak_after: 10s}]
    sessions: [{redis: cache, prefix: "session:", lifetime: 2h}]
    tasks: [{type: rq, redis: cache, queues: [default]}]
mysql:
  - {name: main, dsn: "resp@tcp(%s)/", password_file: %s}
redis:
  - {name: cache, url: "redis://resp@%s/0", password_file: %s}
`

// startExporter starts the exporter at its default addresses, or at others if
// they are taken. It returns where StatsD is listened for.
func (s *stack) startExporter(ctx context.Context, shop string) (statsd string, err error) {
	var args []string
	// The default is every address, so that is what must be free.
	address := "127.0.0.1:9868"
	if l, err := net.Listen("tcp", ":9868"); err == nil {
		_ = l.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return "", err
		}
		address = fmt.Sprintf("127.0.0.1:%d", port)
		args = append(args, "--web.listen-address="+address)
	}
	statsd = "127.0.0.1:9125"
	if c, err := net.ListenPacket("udp", statsd); err == nil {
		_ = c.Close()
	} else {
		port, err := run.FreePort(0)
		if err != nil {
			return "", err
		}
		statsd = fmt.Sprintf("127.0.0.1:%d", port)
	}
	s.exporterURL = "http://" + address
	file, err := s.configure(statsd, shop)
	if err != nil {
		return "", err
	}
	args = append(args, "--config.file="+file, "--state.dir="+filepath.Join(s.dir, "state"), "--leak.time-scale="+leakTimeScale)
	return statsd, s.launch(ctx, run.Spec{Name: "exporter", Path: s.exporterPath, Args: args}, answers(s.exporterURL+"/-/ready"))
}

// configure writes the exporter's configuration and its passwords.
func (s *stack) configure(statsd, shop string) (file string, err error) {
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
	text := fmt.Sprintf(configuration, interval, statsd, shop, s.db.address, mysql, s.cache.address, redis)
	return s.write("resp-exporter.yml", text+fmt.Sprintf(healing, s.tokenFile, s.instance()))
}

// shopEnv is the environment of what runs the shop's code, for that user of the database.
func (s *stack) shopEnv(user string) []string {
	redis := fmt.Sprintf("redis://shop:%s@%s/0", s.cache.secret["shop"], s.cache.address)
	return []string{
		"PYTHONDONTWRITEBYTECODE=1", "SHOP_REDIS=" + redis, "RQ_REDIS_URL=" + redis, "SHOP_UPSTREAM=" + s.upstream.Addr().String(),
		fmt.Sprintf("SHOP_DB=mysql+pymysql://%s:%s@%s/shop", user, s.db.secret[user], s.db.address),
	}
}

func (s *stack) startShop(ctx context.Context, bind, statsd string) error {
	return s.launch(ctx, run.Spec{
		Name: "shop", Path: "gunicorn", Dir: s.shopDir,
		// Longer than a fault page may take, so that gunicorn does not end a fault early.
		Args: []string{"--workers", strconv.Itoa(workers), "--timeout", "120", "--bind", bind, "--statsd-host", statsd, "--name", app, "shop:app"},
		Env:  s.shopEnv("shop"),
	}, answers(s.shopURL+"/products"))
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
