// Command stores measures what a scrape costs a MariaDB with many connections
// and a Redis, and the exporters that make it: this one beside mysqld_exporter
// and redis_exporter. Rounds of all targets alternate, and what the servers do
// by themselves is taken off. Then both servers are stopped, and each exporter
// is scraped once with Prometheus' header and once without.
//
//	stores -exporter build/resp-exporter
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const password = "cost-of-a-look"

type options struct {
	exporter, mysqld, redisd  string
	connections, transactions int
	rounds, scrapes           int
	stop                      bool
}

func main() {
	var o options
	flag.StringVar(&o.exporter, "exporter", "build/resp-exporter", "the exporter's binary")
	flag.StringVar(&o.mysqld, "mysqld-exporter", "prometheus-mysqld-exporter", "the peer for MariaDB; empty: none")
	flag.StringVar(&o.redisd, "redis-exporter", "prometheus-redis-exporter", "the peer for Redis; empty: none")
	flag.IntVar(&o.connections, "connections", 1000, "connections held open")
	flag.IntVar(&o.transactions, "transactions", 300, "how many of them sleep in a transaction")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of scrapes")
	flag.IntVar(&o.scrapes, "scrapes", 40, "scrapes a round")
	flag.BoolVar(&o.stop, "stop", true, "also stop both servers and ask once more")
	flag.Parse()
	rig.Main("stores", 20*time.Minute, func(ctx context.Context) error { return measure(ctx, o) })
}

// servers are the MariaDB and the Redis that are scraped.
type servers struct {
	mysql *mariadb.Server
	redis *run.Proc
	port  int // of Redis
}

func measure(ctx context.Context, o options) (err error) {
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	var s servers
	s.mysql, err = mariadb.Start(ctx, r.Dir, fmt.Sprintf("--max-connections=%d", o.connections+40))
	if s.mysql != nil {
		defer s.mysql.Stop()
	}
	if err != nil {
		return err
	}
	if err := s.startRedis(ctx, r); err != nil {
		return err
	}
	held, err := s.hold(ctx, o)
	defer func() { err = errors.Join(err, release(held)) }()
	if err != nil {
		return err
	}
	targets, err := s.targets(ctx, r, o)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d connections, %d in a transaction; %d rounds of %d scrapes of each, in turn\n\n", rig.Machine(), o.connections, o.transactions, o.rounds, o.scrapes)
	if err := s.rounds(ctx, o, targets); err != nil || !o.stop {
		return err
	}
	return s.stopped(ctx, targets)
}

// startRedis starts a Redis with the user of docs/redis.md.
func (s *servers) startRedis(ctx context.Context, r *rig.Rig) error {
	path, err := rig.Find("redis-server", "apt-get install redis-server")
	if err != nil {
		return err
	}
	if s.port, err = run.FreePort(0); err != nil {
		return err
	}
	s.redis, err = r.Start(ctx, run.Spec{Name: "redis-server", Path: path, Args: []string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--appendonly", "no",
		"--user", "resp", "on", ">" + password, "+ping", "+info", "+client|setname",
	}}, "")
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.CommandContext(ctx, "redis-cli", "-p", strconv.Itoa(s.port), "PING").CombinedOutput() //nolint:gosec // a server of our own
		if err == nil && strings.HasPrefix(string(out), "PONG") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("redis does not answer: %w: %s", err, out)
		}
	}
}

// hold opens the connections, the first of them in a transaction each.
func (s *servers) hold(ctx context.Context, o options) ([]*sql.Conn, error) {
	if err := s.mysql.Exec(strings.ReplaceAll(mariadb.Grants, "PASSWORD", password) +
		"; CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); CREATE USER 'resp_app'@'%' IDENTIFIED BY '" + password + "'; GRANT ALL ON shop.* TO 'resp_app'@'%'"); err != nil {
		return nil, err
	}
	db, err := s.mysql.OpenTCP("resp_app", password)
	if err != nil {
		return nil, err
	}
	held := make([]*sql.Conn, 0, o.connections)
	for i := range o.connections {
		conn, err := db.Conn(ctx)
		if err != nil {
			return held, fmt.Errorf("connection %d: %w", i, err)
		}
		held = append(held, conn)
		if i >= o.transactions {
			continue
		}
		for _, statement := range []string{"START TRANSACTION", fmt.Sprintf("INSERT INTO shop.orders VALUES (%d)", i)} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return held, fmt.Errorf("transaction %d: %w", i, err)
			}
		}
	}
	return held, nil
}

func release(held []*sql.Conn) error {
	var errs []error
	for _, c := range held {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// targets starts this exporter and its peers, each with its defaults except for what its
// name says.
func (s *servers) targets(ctx context.Context, r *rig.Rig, o options) ([]rig.Target, error) {
	var out []rig.Target
	add := func(name, program, how string, env []string, args func(address string) []string) error {
		if program == "" {
			return nil
		}
		path, err := rig.Find(program, how)
		if err != nil {
			return err
		}
		t, err := r.Exporter(ctx, run.Spec{Name: name, Path: path, Env: env}, args)
		out = append(out, t)
		return err
	}
	file, err := r.Write("resp-exporter.yml", fmt.Sprintf(`statsd: {listen: []}
mysql: [{name: main, dsn: "resp:%[1]s@tcp(127.0.0.1:%[2]d)/"}]
redis: [{name: cache, url: "redis://resp:%[1]s@127.0.0.1:%[3]d"}]
apps: [{name: shop, match: {listen: ":1"}, pools: [{name: main, mysql: main, user: resp_app, size: 500, max_overflow: 500}]}]
`, password, s.mysql.Port, s.port))
	if err != nil {
		return nil, err
	}
	cnf, err := r.Write("my.cnf", fmt.Sprintf("[client]\nuser=resp\npassword=%s\nhost=127.0.0.1\nport=%d\n", password, s.mysql.Port))
	if err != nil {
		return nil, err
	}
	mysqld := func(extra ...string) func(string) []string {
		return func(address string) []string {
			return append([]string{"--web.listen-address=" + address, "--config.my-cnf=" + cnf}, extra...)
		}
	}
	const apt = "apt-get install prometheus-mysqld-exporter prometheus-redis-exporter"
	return out, errors.Join(
		add("resp-exporter", o.exporter, rig.HowOurs, nil, func(address string) []string {
			return []string{"--web.listen-address=" + address, "--config.file=" + file}
		}),
		add("mysqld_exporter", o.mysqld, apt, nil, mysqld()),
		add("mysqld_exporter +processlist", o.mysqld, apt, nil, mysqld("--collect.info_schema.processlist")),
		add("redis_exporter", o.redisd, apt, nil, func(address string) []string {
			return []string{"--web.listen-address=" + address, fmt.Sprintf("--redis.addr=redis://127.0.0.1:%d", s.port)}
		}),
	)
}
