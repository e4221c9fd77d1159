// Command mysqlcost measures what a scrape costs a MariaDB server that has
// many connections, some of them asleep in a transaction: the server's CPU
// time, the exporter's own, and how long the answer takes. Rounds with scrapes
// and rounds without alternate, and the server's own idle work is taken off.
//
//	mysqlcost -exporter build/resp-exporter -collectors mysql,pool
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const password = "cost-of-a-look"

type options struct {
	exporter, collectors      string
	connections, transactions int
	rounds, scrapes           int
}

func main() {
	var o options
	flag.StringVar(&o.exporter, "exporter", "build/resp-exporter", "the exporter's binary")
	flag.StringVar(&o.collectors, "collectors", "mysql,pool", "the collectors that are on")
	flag.IntVar(&o.connections, "connections", 1000, "connections held open")
	flag.IntVar(&o.transactions, "transactions", 300, "how many of them sleep in a transaction")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of scrapes")
	flag.IntVar(&o.scrapes, "scrapes", 40, "scrapes a round")
	flag.Parse()
	if err := measure(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "mysqlcost:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, o options) (err error) {
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	server, err := mariadb.Start(ctx, r.Dir, fmt.Sprintf("--max-connections=%d", o.connections+20))
	if server != nil {
		defer server.Stop()
	}
	if err != nil {
		return err
	}
	if err := server.Exec(strings.ReplaceAll(mariadb.Grants, "PASSWORD", password) + "; CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY)"); err != nil {
		return err
	}
	held, err := hold(ctx, server, o)
	defer func() { err = errors.Join(err, release(held)) }()
	if err != nil {
		return err
	}
	file, err := r.Write("resp-exporter.yml", fmt.Sprintf("statsd: {listen: []}\nmysql: [{name: main, dsn: \"resp:%s@tcp(127.0.0.1:%d)/\"}]\n", password, server.Port))
	if err != nil {
		return err
	}
	path, err := rig.Find(o.exporter, "make build")
	if err != nil {
		return err
	}
	target, err := r.Exporter(ctx, run.Spec{Name: "resp-exporter", Path: path}, func(address string) []string {
		args := []string{"--web.listen-address=" + address, "--config.file=" + file, "--collector.disable-defaults"}
		for name := range strings.SplitSeq(o.collectors, ",") {
			args = append(args, "--collector."+name)
		}
		return args
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d connections, %d in a transaction; %d rounds of %d scrapes\n", rig.Machine(), o.connections, o.transactions, o.rounds, o.scrapes)
	return rounds(ctx, o, server.PID(), target)
}

// hold opens the connections, the first of them in a transaction each.
func hold(ctx context.Context, s *mariadb.Server, o options) ([]*sql.Conn, error) {
	db, err := s.OpenTCP("resp_app", password)
	if err != nil {
		return nil, err
	}
	if err := s.Exec("CREATE USER 'resp_app'@'%' IDENTIFIED BY '" + password + "'; GRANT ALL ON shop.* TO 'resp_app'@'%'"); err != nil {
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

// cost is what one round cost a scrape.
type cost struct{ server, own, took float64 } // milliseconds

func rounds(ctx context.Context, o options, pid int, target rig.Target) error {
	client := rig.NewClient()
	defer client.Close()
	var all []cost
	for range o.rounds {
		c, err := round(ctx, o, pid, target, client)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	for _, column := range []struct {
		name string
		of   func(cost) float64
	}{
		{"mariadbd CPU", func(c cost) float64 { return c.server }},
		{"exporter CPU", func(c cost) float64 { return c.own }},
		{"median answer", func(c cost) float64 { return c.took }},
	} {
		values := make([]float64, len(all))
		for i, c := range all {
			values[i] = column.of(c)
		}
		slices.Sort(values)
		fmt.Printf("%-14s median %.2f ms a scrape, rounds from %.2f to %.2f\n", column.name, values[len(values)/2], values[0], values[len(values)-1])
	}
	return nil
}

// round scrapes, then does nothing for as long, and compares.
func round(ctx context.Context, o options, pid int, target rig.Target, client *rig.Client) (cost, error) {
	took := make([]time.Duration, o.scrapes)
	began := time.Now()
	busy, err := spent(func() error {
		for i := range took {
			a, err := client.Scrape(ctx, target.URL)
			if err != nil {
				return err
			}
			if v, ok := rig.Value(a.Body, `resp_mysql_longest_query_seconds{mysql="main"}`); !ok {
				return fmt.Errorf("a scrape did not see the connections (%v)", v)
			}
			took[i] = a.Took
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}, pid, target.PID)
	if err != nil {
		return cost{}, err
	}
	whole := time.Since(began)
	idle, err := spent(func() error { time.Sleep(whole); return nil }, pid, target.PID)
	if err != nil {
		return cost{}, err
	}
	slices.Sort(took)
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(o.scrapes) }
	return cost{per(busy[0] - idle[0]), per(busy[1] - idle[1]), took[len(took)/2].Seconds() * 1000}, nil
}

// spent gives the CPU time that each process used while f ran.
func spent(f func() error, pids ...int) ([]time.Duration, error) {
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = rig.CPU(pid); err != nil {
			return nil, err
		}
	}
	if err := f(); err != nil {
		return nil, err
	}
	out := make([]time.Duration, len(pids))
	for i, pid := range pids {
		after, err := rig.CPU(pid)
		if err != nil {
			return nil, err
		}
		out[i] = after - before[i]
	}
	return out, nil
}
