// Package relay tries the relay of alerts with a fleet: alerts go through a real pair of
// Alertmanagers to two real exporters, and through a real Redis, which is killed in the
// middle, to the exporters that they are about. A few of these are real processes, the others
// are the product's own relay and runner in this process.
package relay

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

// Options are those of a trial.
type Options struct {
	Exporter string // the program
	CSV      string // raw results, which a later run continues; "": none are kept
	Seed     uint64
	Hosts    int           // exporters that alerts are about
	Real     int           // of these: processes
	Each     int           // alerts about each host, one a batch
	Spread   time.Duration // over which a batch is sent
	Down     time.Duration // of the Redis
	NoAOF    bool          // the Redis keeps nothing on the disk
	Stops    bool          // an Alertmanager is stopped for a while, and one exporter of fifty is killed for longer than it stays registered
	Linger   time.Duration // after the last alert, for repeats
	Logf     func(format string, v ...any)
}

// The batches in which something happens, as a part of all.
func (o Options) killsIn() int { return o.Each * 4 / 10 }

// haltsIn returns the batch of alerts during which an Alertmanager is stopped.
func (o Options) haltsIn() int { return o.Each * 6 / 10 }

// crashesIn returns the batch of alerts with which a receiver crashes.
func (o Options) crashesIn() int { return o.Each * 8 / 10 }

const (
	crashFor = 75 * time.Second // longer than a registration lasts
	haltFor  = 30 * time.Second // of an Alertmanager
	// waitFor bounds the wait for the last alert of a batch: Alertmanager repeats a
	// notification after five minutes.
	waitFor = 6 * time.Minute
)

// Alert is one alert that was sent, as it is in the file.
type Alert struct {
	Batch int
	Host  string
	Real  bool          // a process is about it
	While string        // "": nothing; "redis", "halt" or "crash"
	Sent  time.Time     // when the first Alertmanager took it
	After time.Duration // from then to its run
	Runs  int
}

// key is what the alert is found by.
func (a Alert) key() string { return keyOf(a.Host, nameOf(a.Batch)) }

func keyOf(host, name string) string { return host + " " + name }

// nameOf returns the name of the alerts of a batch.
func nameOf(batch int) string { return fmt.Sprintf("RespTrial%d", batch) }

// Result is what a trial measured.
type Result struct {
	Options

	Alerts    []Alert
	Took      time.Duration
	Store     Usage              // of the Redis, both processes together
	Receivers map[string]float64 // counters of both, by name and labels
	Entries   map[string]float64 // at the exporters of this process, by outcome
	Decisions map[string]float64 // of these exporters on alerts
}

// bench is a trial under way.
type bench struct {
	o     Options
	dir   string
	rnd   *rand.Rand
	group servers
	all   *addressees
	out   *Result
	rows  *trial.Rows // nil: none are kept
	done  map[int]bool
}

// Run tries it. With an error, the result has what was measured until then.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	dir, err := os.MkdirTemp("", "resp-relay-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{o: o, dir: dir, rnd: rand.New(rand.NewPCG(o.Seed, 1)), out: &Result{Options: o}, done: make(map[int]bool)} //nolint:gosec // no secret
	if err := b.open(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		b.all.wait()
		b.group.stop()
	}()
	began := time.Now()
	b.all = newAddressees()
	err = b.start(ctx)
	if err == nil {
		err = b.batches(ctx)
	}
	b.out.Took = time.Since(began)
	if b.rows != nil {
		err = cmp.Or(err, b.rows.Close())
	}
	return b.out, err
}

// open opens the file, and reads the batches that an earlier run has finished.
func (b *bench) open() error {
	if b.o.CSV == "" {
		return nil
	}
	rows, before, err := trial.Open(b.o.CSV, b.o.Seed, columns()...)
	if err != nil {
		return err
	}
	b.rows = rows
	b.out.Alerts, err = parse(before)
	if err != nil {
		return fmt.Errorf("%s: %w", b.o.CSV, err)
	}
	count := make(map[int]int)
	for _, a := range b.out.Alerts {
		count[a.Batch]++
	}
	for batch, n := range count {
		b.done[batch] = n == b.o.Hosts
	}
	return nil
}

// Resume returns what an earlier run with the same options has written.
func Resume(o Options) (*Result, error) {
	b := &bench{o: o, out: &Result{Options: o}, done: make(map[int]bool)}
	if err := b.open(); err != nil {
		return nil, err
	}
	if b.rows == nil {
		return b.out, nil
	}
	return b.out, b.rows.Close()
}

// start starts the servers and the exporters, and waits until all are registered.
func (b *bench) start(ctx context.Context) error {
	if err := b.group.start(ctx, b.dir, b.o); err != nil {
		return err
	}
	if err := b.all.start(ctx, b.dir, b.o, &b.group); err != nil {
		return err
	}
	return b.group.registered(ctx, b.o.Hosts+2)
}

// batches sends one batch after the other, and lets repeats come.
func (b *bench) batches(ctx context.Context) error {
	for batch := range b.o.Each {
		order := b.rnd.Perm(b.o.Hosts) // also of a batch that is skipped: those after it stay the same
		gaps := rand.New(rand.NewPCG(b.o.Seed, uint64(batch)+2))
		if b.done[batch] {
			continue
		}
		alerts, err := b.batch(ctx, batch, order, gaps)
		b.out.Alerts = append(b.out.Alerts, alerts...)
		if err == nil {
			err = b.write(alerts)
		}
		if err != nil {
			return err
		}
	}
	if !sleep(ctx, b.o.Linger) {
		return ctx.Err()
	}
	return b.finish(ctx)
}

// finish reads the counters, and records which alerts were run again after their batch.
func (b *bench) finish(ctx context.Context) (err error) {
	b.all.count(b.out)
	runs := b.all.runs()
	var again []Alert
	for i, a := range b.out.Alerts {
		if r, ok := runs[a.key()]; ok && len(r) != a.Runs {
			b.out.Alerts[i].Runs = len(r)
			again = append(again, b.out.Alerts[i])
		}
	}
	if err := b.write(again); err != nil {
		return err
	}
	b.out.Receivers, err = b.group.counters(ctx)
	if err != nil {
		return err
	}
	b.out.Store, err = b.group.redis.usage(ctx)
	return err
}

// write writes a row for each alert; nothing without a file of rows.
func (b *bench) write(alerts []Alert) error {
	if b.rows == nil {
		return nil
	}
	for _, a := range alerts {
		if err := b.rows.Write(a.row()...); err != nil {
			return err
		}
	}
	return b.rows.Flush()
}

// batch sends one alert about each host, and waits until all were run.
func (b *bench) batch(ctx context.Context, batch int, order []int, gaps *rand.Rand) ([]Alert, error) {
	while, events := b.events(ctx, batch)
	ended := make(chan error, 1)
	go func() { ended <- events() }()
	alerts, err := b.send(ctx, batch, order, gaps, while)
	if e := <-ended; err == nil {
		err = e
	}
	if err != nil {
		return alerts, err
	}
	b.await(ctx, alerts)
	once := 0
	for _, a := range alerts {
		if a.Runs == 1 {
			once++
		}
	}
	slowest := slices.MaxFunc(alerts, func(a, b Alert) int { return cmp.Compare(a.After, b.After) })
	b.o.Logf("batch %d: %d alerts, %d run once, the slowest after %s %s", batch, len(alerts), once, slowest.After.Round(time.Millisecond), while)
	return alerts, ctx.Err()
}

// await waits until the alerts of a batch were run, and sets when they were.
func (b *bench) await(ctx context.Context, alerts []Alert) {
	for deadline := time.Now().Add(waitFor); ; {
		runs, missing := b.all.runs(), 0
		for i := range alerts {
			at := runs[alerts[i].key()]
			if alerts[i].Runs = len(at); len(at) == 0 {
				missing++
				continue
			}
			alerts[i].After = at[0].Sub(alerts[i].Sent)
		}
		if missing == 0 || time.Now().After(deadline) || !sleep(ctx, 500*time.Millisecond) {
			return
		}
	}
}

// sleep waits; false: ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
