// Command sessions measures what the walk over the sessions of a large Redis
// costs: the longest and the 99th of a hundred pings beside it and without it,
// in turn, Redis' processor time, the exporter's scrapes and its memory, and how
// long a full walk takes. It starts a Redis of its own and ends all it started.
//
//	sessions -exporter build/resp-exporter
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// wholeRun is how long all may take at most.
const wholeRun = 40 * time.Minute

// settings are the flags.
type settings struct {
	exporter     string
	keys, rounds int
	each         time.Duration // one half of a round
	full         time.Duration // how long to follow a full walk; 0: not at all
}

func main() { rig.Main("sessions", wholeRun, start) }

// start reads the flags, fills a Redis with sessions, runs the rounds and prints the
// result.
func start(ctx context.Context) (err error) {
	var s settings
	flag.StringVar(&s.exporter, "exporter", "build/resp-exporter", "resp-exporter")
	flag.IntVar(&s.keys, "keys", 1_000_000, "sessions, a third of them without an expiry")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds, each of one time with the walk and one without")
	flag.DurationVar(&s.each, "each", 20*time.Second, "how long each of the two takes")
	flag.DurationVar(&s.full, "full", 15*time.Minute, "how long to follow one full walk at the end; 0: not at all")
	flag.Parse()
	if s.keys < 1 || s.rounds < 1 || s.each < time.Second || flag.NArg() > 0 {
		return errors.New("want -keys and -rounds of at least 1, -each of at least 1s, and no argument")
	}
	if s.exporter, err = rig.Find(s.exporter, rig.HowOurs); err != nil {
		return err
	}
	r, err := rig.New()
	if err != nil {
		return err
	}
	defer r.Close()
	b := &bench{settings: s}
	if err := b.begin(ctx, r); err != nil {
		return err
	}
	defer b.end()
	fmt.Printf("%s\n%d sessions; %d rounds of %s with the walk and %s without\n\n", rig.Machine(), s.keys, s.rounds, s.each, s.each)
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.walk(ctx)
}

// bench describes the measurement.
type bench struct {
	settings

	server   int // Redis' pid
	exporter rig.Target
	config   string   // the exporter's file
	section  string   // of that file, without sessions
	redis    net.Conn // the pings'
	client   *rig.Client
}

// begin starts and fills a Redis, and starts an exporter that reads it.
func (b *bench) begin(ctx context.Context, r *rig.Rig) error {
	path, err := rig.Find("redis-server", "apt-get install redis-server")
	if err != nil {
		return err
	}
	socket := filepath.Join(r.Dir, "redis.sock")
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	p, err := r.Start(ctx, run.Spec{Name: "redis", Path: path, Dir: r.Dir, Args: []string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", r.Dir,
	}}, "")
	if err != nil {
		return err
	}
	b.server = p.PID()
	if b.redis, err = dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output(2000))
	}
	began := time.Now()
	if err := fill(ctx, socket, b.keys); err != nil {
		return err
	}
	fmt.Printf("filled in %s\n", time.Since(began).Round(time.Second))
	b.section = fmt.Sprintf("monitoring_interval: 1s\nstatsd: {listen: []}\nredis: [{name: cache, url: \"redis://127.0.0.1:%d/0\"}]\n", port)
	if b.config, err = r.Write("resp-exporter.yml", b.section); err != nil {
		return err
	}
	b.exporter, err = r.Exporter(ctx, run.Spec{Name: "resp-exporter", Path: b.settings.exporter}, func(address string) []string {
		return []string{"--web.listen-address=" + address, "--config.file=" + b.config, "--web.enable-lifecycle"}
	})
	b.client = rig.NewClient()
	return err
}

// end closes the client and the connection to the Redis.
func (b *bench) end() {
	b.client.Close()
	_ = b.redis.Close()
}
