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
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

type options struct {
	exporter, old             string
	mysqld, redisd            string
	connections, transactions int
	rounds, scrapes, memory   int
	stop                      bool
	settle                    time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.exporter, "exporter", "build/resp-exporter", "the exporter's binary")
	flag.StringVar(&o.old, "old", "", "another build of the exporter, to be compared; empty: none")
	flag.StringVar(&o.mysqld, "mysqld-exporter", "mysqld_exporter", "the peer for MariaDB; empty: none")
	flag.StringVar(&o.redisd, "redis-exporter", "redis_exporter", "the peer for Redis; empty: none")
	flag.IntVar(&o.connections, "connections", 1000, "connections held open")
	flag.IntVar(&o.transactions, "transactions", 300, "how many of them sleep in a transaction")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of scrapes")
	flag.IntVar(&o.scrapes, "scrapes", 40, "scrapes a round")
	flag.IntVar(&o.memory, "memory", 0, "also scrape each exporter so many times, and print its memory")
	flag.DurationVar(&o.settle, "settle", settle, "pause between two scrapes")
	flag.BoolVar(&o.stop, "stop", true, "also stop both servers and ask once more")
	flag.Parse()
	rig.Main("stores", 20*time.Minute, func(ctx context.Context) error { return measure(ctx, o) })
}

// servers are the MariaDB and the Redis that are scraped.
type servers struct{ *rig.Stores }

// measure starts the stores and the exporters, runs the rounds and prints the table. All of
// it ends before it returns.
func measure(ctx context.Context, o options) (err error) {
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	stores, err := r.Stores(ctx, o.connections)
	if stores != nil {
		defer stores.Stop()
	}
	if err != nil {
		return err
	}
	s := servers{stores}
	held, err := s.Hold(ctx, o.connections, o.transactions)
	defer func() { err = errors.Join(err, rig.Release(held)) }()
	if err != nil {
		return err
	}
	targets, err := s.targets(ctx, r, o)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d connections, %d in a transaction; %d rounds of %d scrapes of each, in turn\n\n", rig.Machine(), o.connections, o.transactions, o.rounds, o.scrapes)
	if err := errors.Join(s.rounds(ctx, o, targets), memory(ctx, o, targets)); err != nil || !o.stop {
		return err
	}
	return s.stopped(ctx, targets)
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
`, rig.Password, s.MySQL.Port, s.Port))
	if err != nil {
		return nil, err
	}
	cnf, err := s.ClientFile(r)
	if err != nil {
		return nil, err
	}
	mysqld := func(extra ...string) func(string) []string {
		return func(address string) []string {
			return append([]string{"--web.listen-address=" + address, "--config.my-cnf=" + cnf}, extra...)
		}
	}
	ours := func(address string) []string {
		return []string{"--web.listen-address=" + address, "--config.file=" + file}
	}
	return out, errors.Join(
		add("resp-exporter", o.exporter, rig.HowOurs, nil, ours),
		add("resp-exporter, the other build", o.old, rig.HowOurs, nil, ours),
		add("mysqld_exporter", o.mysqld, rig.HowPeers, nil, mysqld()),
		add("mysqld_exporter +processlist", o.mysqld, rig.HowPeers, nil, mysqld("--collect.info_schema.processlist")),
		add("redis_exporter", o.redisd, rig.HowPeers, nil, func(address string) []string {
			return []string{"--web.listen-address=" + address, fmt.Sprintf("--redis.addr=redis://127.0.0.1:%d", s.Port)}
		}),
	)
}
