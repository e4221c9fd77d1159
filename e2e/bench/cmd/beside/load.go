package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	warmUp = 5 // scrapes of each exporter that do not count
	floor  = 5 * time.Second
)

// bench is a running load with everything that watches it.
type bench struct {
	settings
	client  *rig.Client
	order   *rand.Rand
	stores  []rig.Target // MariaDB and Redis
	targets []rig.Target // resp-exporter first
	statsd  [2]string    // UDP addresses of resp-exporter and statsd_exporter

	own  []float64 // CPU of the stores without exporters, milliseconds a second
	rest []float64 // CPU of the targets without scrapes, milliseconds a second
}

// load starts what the load is made of, then the exporters, and measures.
func (s settings) load(ctx context.Context, name string) (m measured, err error) {
	m.load = name
	r, err := rig.New()
	if err != nil {
		return m, err
	}
	defer r.Close()
	forks := 0
	sleeps := s.daemons
	if name == many {
		forks, sleeps = rig.Forks, s.many
	}
	if err := r.Crowd(ctx, sleeps, forks); err != nil {
		return m, err
	}
	stores, err := r.Stores(ctx, s.connections)
	if stores != nil {
		defer stores.Stop()
	}
	if err != nil {
		return m, err
	}
	open, sleeping := 0, 0
	if name == connections {
		open, sleeping = s.connections, s.transactions
	}
	held, err := stores.Hold(ctx, open, sleeping)
	defer func() { err = errors.Join(err, rig.Release(held)) }()
	if err != nil {
		return m, err
	}
	b := &bench{settings: s, client: rig.NewClient(), order: rand.New(rand.NewPCG(s.seed, uint64(len(name))))} //nolint:gosec // an order, no secret
	defer b.client.Close()
	if err := b.begin(ctx, r, stores); err != nil {
		return m, err
	}
	err = b.measure(ctx, &m)
	return m, err
}

// begin measures what the servers use by themselves, and starts the app and the exporters.
func (b *bench) begin(ctx context.Context, r *rig.Rig, stores *rig.Stores) error {
	b.stores = []rig.Target{{Name: "mariadbd", PID: stores.MySQL.PID()}, {Name: "redis-server", PID: stores.Redis.PID()}}
	for i := range b.statsd {
		port, err := run.FreeUDPPort()
		if err != nil {
			return err
		}
		b.statsd[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	base, err := r.Shop(ctx, b.shop, b.statsd[0])
	if err != nil {
		return err
	}
	if b.own, err = rig.Use(b.stores, func() error { return rig.Wait(ctx, floor) }); err != nil {
		return err
	}
	if err := b.exporters(ctx, r, stores); err != nil {
		return err
	}
	if err := rig.Visit(ctx, base); err != nil {
		return err
	}
	// The app has one receiver; the other one gets as many lines.
	lines := rig.GunicornLines()
	if _, err := send(ctx, b.statsd[1], rig.Requests*len(lines), b.lines); err != nil {
		return err
	}
	for range warmUp {
		for _, t := range b.targets {
			if _, err := b.client.Scrape(ctx, t.URL); err != nil {
				return err
			}
		}
	}
	return nil
}

// exporters starts resp-exporter with everything that the five do together, and the five.
func (b *bench) exporters(ctx context.Context, r *rig.Rig, stores *rig.Stores) error {
	ours, err := r.Configured(ctx, run.Spec{Name: "resp-exporter", Path: b.ours}, fmt.Sprintf(`statsd: {listen: ["udp://%[4]s"]}
mysql: [{name: main, dsn: "resp:%[1]s@tcp(127.0.0.1:%[2]d)/"}]
redis: [{name: cache, url: "redis://resp:%[1]s@127.0.0.1:%[3]d"}]
`, rig.Password, stores.MySQL.Port, stores.Port, b.statsd[0]))
	if err != nil {
		return err
	}
	b.targets = append(b.targets, ours)
	for _, p := range []struct {
		name  string
		start func(path string) (rig.Target, error)
	}{
		{"node_exporter", func(path string) (rig.Target, error) { return r.Node(ctx, path) }},
		{"process-exporter", func(path string) (rig.Target, error) { return r.Process(ctx, path, rig.StoreGroups) }},
		{"statsd_exporter", func(path string) (rig.Target, error) { return r.Statsd(ctx, path, b.statsd[1]) }},
		{"mysqld_exporter", func(path string) (rig.Target, error) { return r.Mysqld(ctx, path, stores) }},
		{"redis_exporter", func(path string) (rig.Target, error) { return r.Redis(ctx, path, stores) }},
	} {
		path, err := b.peer(p.name)
		if err != nil {
			return err
		}
		t, err := p.start(path)
		if err != nil {
			return err
		}
		b.targets = append(b.targets, t)
	}
	return nil
}
