package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// crashed is how many exporters there are for one that is killed in the batch of crashes.
const crashed = 50

// hostName returns the name of a host by its number.
func hostName(n int) string { return fmt.Sprintf("web-%d:9868", n) }

// numberOf returns the number of a host.
func numberOf(host string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(host, "web-"), ":9868")) // [hostName] has made it
	return n
}

// addressees are the exporters that alerts are about.
type addressees struct {
	o     Options
	dir   string
	group *servers
	done  sync.WaitGroup

	mu     sync.Mutex
	ran    map[string][]time.Time // of those of this process
	inside map[string]*inside
	real   map[string]served
	past   []*inside // that were killed
}

// newAddressees returns addressees that have received nothing.
func newAddressees() *addressees {
	return &addressees{ran: make(map[string][]time.Time), inside: make(map[string]*inside), real: make(map[string]served)}
}

// inside is an exporter of this process: the product's runner and relay.
type inside struct {
	runner *heal.Runner
	relay  *relay.Relay
	redis  *redis.Server
	end    context.CancelFunc
	wg     sync.WaitGroup
}

// start starts all.
func (d *addressees) start(ctx context.Context, dir string, o Options, g *servers) error {
	d.dir, d.o, d.group = dir, o, g
	for n := range o.Hosts {
		var err error
		if n < o.Real {
			err = d.process(ctx, n)
		} else {
			err = d.launch(ctx, n)
			sleep(ctx, 3*time.Millisecond)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// process starts a host's exporter as a process. Each of its runs adds a line to a file.
func (d *addressees) process(ctx context.Context, n int) error {
	script := filepath.Join(d.dir, "run.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nread -r _ || :\necho \"$2 $(date +%s%N)\" >>\"$1\"\n"), 0o700); err != nil { //nolint:gosec // a program
		return err
	}
	var rules strings.Builder
	rules.WriteString("  budgets: {max_runs: 1000, per: 1h, max_concurrent: 1, fleet_max_fraction: 1, fleet_min_healthy: 0}\n  rules:\n")
	for batch := range d.o.Each {
		fmt.Fprintf(&rules, "    - {name: trial-%d, match: {alertname: %s}, cooldown: 1h, steps: [{action: run_command, timeout: 20s, verify_within: 1s, with: {argv: [%q, %q, %s]}}]}\n",
			batch, nameOf(batch), script, d.file(n), nameOf(batch))
	}
	x, err := d.group.export(ctx, hostName(n), rules.String())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.real[hostName(n)] = x
	return err
}

// file returns the file in which receiver n writes its runs.
func (d *addressees) file(n int) string { return filepath.Join(d.dir, fmt.Sprintf("runs-%d", n)) }

// section is the configuration of an exporter of this process.
func (d *addressees) section(host string) config.Healing {
	h := config.Default().Healing
	h.Mode, h.TokenFile, h.Warmup = config.HealEnforce, d.group.token, 0
	h.Identity = config.Identity{Label: "instance", Value: host}
	h.Budgets.MaxRuns = 1000
	for batch := range d.o.Each {
		step := config.NewHealingStep(config.ActionRunCommand)
		step.VerifyWithin = time.Second
		h.Rules = append(h.Rules, config.HealingRule{
			Name: fmt.Sprintf("trial-%d", batch), Match: map[string]string{"alertname": nameOf(batch)}, Cooldown: time.Hour, Steps: []config.HealingStep{step},
		})
	}
	return h
}

// launch starts a host's exporter in this process.
func (d *addressees) launch(ctx context.Context, n int) error {
	host := hostName(n)
	server, err := d.group.redis.open(true)
	if err != nil {
		return err
	}
	x := &inside{redis: server, runner: heal.New(heal.Options{StateDir: filepath.Join(d.dir, fmt.Sprintf("state-%d", n))})}
	apply, err := x.runner.Prepare(d.section(host), func(config.HealingStep) (action.Action, error) { return &recorded{d, host}, nil })
	if err != nil {
		return err
	}
	apply()
	x.relay = relay.New(relay.Options{
		Runner: x.runner, Store: x.runner.Store, Redis: func(string) *redis.Server { return x.redis },
		Settings: func() relay.Settings {
			return relay.Settings{Redis: "relay", TokenFile: d.group.token, Label: "instance", Value: host}
		},
	})
	ctx, x.end = context.WithCancel(ctx)
	for _, loop := range []func(context.Context) error{x.runner.Run, x.relay.Run} {
		x.wg.Go(func() { _ = loop(ctx) })
	}
	d.done.Go(x.wg.Wait)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside[host] = x
	return nil
}

// stop ends the exporter.
func (x *inside) stop() {
	x.end()
	x.wg.Wait()
	_ = x.redis.Close()
}

// down reports whether a host's exporter is one of those that are killed.
func (d *addressees) down(host string) bool { return numberOf(host)%crashed == 0 }

// crash ends some exporters, processes by SIGKILL, and starts them again after a time.
func (d *addressees) crash(ctx context.Context, pause time.Duration) error {
	for n := 0; n < d.o.Hosts; n += crashed {
		host := hostName(n)
		if x, ok := d.real[host]; ok {
			if err := x.Signal(syscall.SIGKILL); err != nil {
				return err
			}
			continue
		}
		d.inside[host].stop()
		d.past = append(d.past, d.inside[host])
	}
	sleep(ctx, pause)
	var errs []error
	for n := 0; n < d.o.Hosts; n += crashed {
		if n < d.o.Real {
			errs = append(errs, d.process(ctx, n))
		} else {
			errs = append(errs, d.launch(ctx, n))
		}
	}
	return errors.Join(errs...)
}

// wait waits until all exporters of this process have ended.
func (d *addressees) wait() {
	if d != nil {
		d.done.Wait()
	}
}

// runs returns when each alert was run.
func (d *addressees) runs() map[string][]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string][]time.Time, len(d.ran))
	maps.Copy(out, d.ran)
	for n := range d.o.Real {
		readRuns(d.file(n), hostName(n), out)
	}
	return out
}

// readRuns reads the file of a process; none: it has run nothing.
func readRuns(file, host string, out map[string][]time.Time) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	for in := bufio.NewScanner(f); in.Scan(); {
		name, at, _ := strings.Cut(in.Text(), " ")
		if ns, err := strconv.ParseInt(at, 10, 64); err == nil {
			out[keyOf(host, name)] = append(out[keyOf(host, name)], time.Unix(0, ns))
		}
	}
}

// count adds up the counters of the exporters of this process.
func (d *addressees) count(out *Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out.Entries, out.Decisions = make(map[string]float64), make(map[string]float64)
	list := d.past
	for _, x := range d.inside {
		list = append(list, x)
	}
	for _, x := range list {
		for outcome, n := range x.relay.Stats().Entries {
			out.Entries[string(outcome)] += float64(n)
		}
		for decision, n := range x.runner.Stats().Alerts {
			out.Decisions[string(decision)] += float64(n)
		}
	}
}

// recorded is the action of the exporters of this process: it records that it was done.
type recorded struct {
	all  *addressees
	host string
}

// Target implements [action.Action].
func (*recorded) Target(action.Alert) string { return "command" }

// Plan implements [action.Action].
func (*recorded) Plan(_ context.Context, req action.PlanRequest) (action.Plan, error) {
	return action.Plan{Action: config.ActionRunCommand, Target: "command", Summary: "record the run", Total: 1, Measure: 1, Private: req.Alert.Name()}, nil
}

// Apply implements [action.Action].
func (r *recorded) Apply(_ context.Context, p action.Plan) (int, error) {
	name, ok := p.Private.(string)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	r.all.mu.Lock()
	defer r.all.mu.Unlock()
	key := keyOf(r.host, name)
	r.all.ran[key] = append(r.all.ran[key], time.Now())
	return 1, nil
}

// Verify implements [action.Action].
func (*recorded) Verify(context.Context, action.Plan) (action.Outcome, error) {
	return action.Verified, nil
}
