package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// bigBuffer is the receive buffer that resp-exporter requests by default.
const bigBuffer = 4 << 20

const (
	settle = 150 * time.Millisecond // until what is queued has been read
	drain  = 3 * time.Second        // at most, until the count stands still
)

// receiver is an exporter that receives StatsD, on its own CPU.
type receiver struct {
	rig.Target
	udp     int    // port
	unix    string // path of the socket
	counter string // series that counts the lines received
}

// receivers starts the exporters to compare: resp-exporter, statsd_exporter with its
// defaults, and statsd_exporter with resp-exporter's receive buffer.
func (s settings) receivers(ctx context.Context, r *rig.Rig) ([]*receiver, error) {
	file, err := r.Write("mapping.yml", rig.Mapping)
	if err != nil {
		return nil, err
	}
	var all []*receiver
	for i, name := range [...]string{"resp-exporter", "statsd_exporter", "statsd_exporter, 4 MiB buffer"} {
		port, err := run.FreeUDPPort()
		if err != nil {
			return nil, err
		}
		rc := &receiver{udp: port, unix: filepath.Join(r.Dir, fmt.Sprintf("statsd-%d.sock", i)), counter: "statsd_exporter_lines_total"}
		udp := fmt.Sprintf("127.0.0.1:%d", port)
		if i == 0 {
			rc.counter = `resp_statsd_lines_total{outcome="parsed"}`
			rc.Target, err = r.Ours(ctx, pinned(name, s.ours), "udp://"+udp, "unixgram://"+rc.unix)
		} else {
			rc.Target, err = r.Exporter(ctx, pinned(name, s.peer), func(address string) []string {
				args := []string{
					"--web.listen-address=" + address, "--statsd.listen-udp=" + udp, "--statsd.listen-tcp=",
					"--statsd.listen-unixgram=" + rc.unix, "--statsd.mapping-config=" + file,
				}
				if i == 2 {
					args = append(args, "--statsd.read-buffer="+strconv.Itoa(bigBuffer))
				}
				return args
			})
		}
		if err != nil {
			return nil, err
		}
		all = append(all, rc)
	}
	return all, nil
}

// pinned starts a program on one CPU; taskset becomes the program, so that the
// process is the program's own.
func pinned(name, path string) run.Spec {
	return run.Spec{Name: name, Path: "taskset", Args: []string{"-c", strconv.Itoa(receiverCPU), path}, Env: []string{"GOMAXPROCS=1"}}
}

// climb tries the rates of a ladder from below until it is over.
func (rc *receiver) climb(ctx context.Context, client *rig.Client, l ladder, length time.Duration) ([]stat.Step, error) {
	fd, err := rc.dial(l.network)
	if err != nil {
		return nil, err
	}
	defer fd.close()
	var steps []stat.Step
	for _, rate := range l.rates {
		step, err := rc.step(ctx, client, &flood{socket: fd, lines: l.lines, rate: rate, length: length})
		if err != nil {
			return nil, err
		}
		if steps = append(steps, step); stat.Over(steps) {
			break
		}
	}
	return steps, nil
}

// step sends one rate and compares what was sent with what was counted. The
// scrapes that read the count are outside the CPU measurement.
func (rc *receiver) step(ctx context.Context, client *rig.Client, f *flood) (stat.Step, error) {
	before, err := rc.lines(ctx, client)
	if err != nil {
		return stat.Step{}, err
	}
	cpu, err := rig.CPU(rc.PID)
	if err != nil {
		return stat.Step{}, err
	}
	step, err := f.send(ctx)
	if err != nil {
		return stat.Step{}, err
	}
	time.Sleep(settle) // the receiver handles what is queued; its CPU is counted
	used, err := rig.CPU(rc.PID)
	if err != nil {
		return stat.Step{}, err
	}
	step.CPU = (used - cpu).Seconds()
	last := before
	for deadline := time.Now().Add(drain); ; time.Sleep(settle) {
		now, err := rc.lines(ctx, client)
		if err != nil {
			return stat.Step{}, err
		}
		step.Counted = now - before
		if step.Counted == step.Sent || now == last || time.Now().After(deadline) {
			return step, nil
		}
		last = now
	}
}

// lines returns how many lines the receiver has counted so far.
func (rc *receiver) lines(ctx context.Context, client *rig.Client) (int64, error) {
	a, err := client.Scrape(ctx, rc.URL)
	if err != nil {
		return 0, err
	}
	v, ok := rig.Value(a.Body, rc.counter)
	if !ok {
		return 0, fmt.Errorf("%s has no series %s", rc.Name, rc.counter)
	}
	return int64(v), nil
}
