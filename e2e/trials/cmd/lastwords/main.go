// Command lastwords has workers of gunicorn killed in mid-request: by gunicorn's timeout,
// by the OOM killer, by signals. The exporter must then know the view and the line of
// each, and nothing of workers that were recycled. Each end is a line of a CSV file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

const (
	patience = 2 * time.Minute
	timeout  = 10 // seconds, gunicorn's
	wanted   = 0.98
	memory   = 300 << 20 // bytes of the control group
)

// view is one view of the app.
type view struct {
	name string
	line int
}

// killed is a worker that was killed, and what it did.
type killed struct {
	pid    int
	how    string
	view   view
	reason string // as the exporter has it; "": it has nothing of it
	right  bool
	said   string
}

// words is one of last_words of /api/v1/incidents.
type words struct {
	App, Reason, On string

	PID   int
	Stack *struct {
		View *string
		Own  *struct {
			File string
			Line int
		}
	}
}

// trialRun is one run.
type trialRun struct {
	exporter string
	kills    int
	recycles int
	rest     *time.Duration
	beside   *int
	draw     *rand.Rand
	dir      string
	group    string
	status   string
	views    []view
	procs    run.Group
	next     int
}

func main() { trial.Main("lastwords", start) }

func start(ctx context.Context) error {
	t := &trialRun{}
	flag.StringVar(&t.exporter, "exporter", "build/resp-exporter", "the exporter")
	t.rest = flag.Duration("rest", 10*time.Second, "between two rounds: nine workers are new in each, and each costs the sampler a part of its time once")
	t.beside = flag.Int("beside", 0, "threads of another app whose stacks change all the time, of which the sampler is slow")
	flag.IntVar(&t.kills, "kills", 100, "workers that are killed")
	flag.IntVar(&t.recycles, "recycles", 100, "workers that are recycled")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of names, views and times")
	log := flag.String("log", "", "the exporter's log is kept here")
	file := flag.String("csv", "build/trials/lastwords.csv", "a line a worker that was killed")
	flag.Parse()
	fmt.Println("seed", *seed)
	t.draw = rand.New(rand.NewPCG(*seed, 1))
	_ = os.Remove(*file)
	rows, _, err := trial.Open(*file, *seed, "how", "pid", "view", "line", "reason", "right", "said")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if t.dir, err = os.MkdirTemp("/var/lib", "lastwords"); err != nil {
		return err
	}
	defer t.close()
	defer func() {
		if *log != "" {
			_ = os.Rename(filepath.Join(t.dir, "exporter.log"), *log)
		}
	}()
	if err := t.startExporter(ctx); err != nil {
		return err
	}
	all, err := t.killAll(ctx)
	for _, k := range all {
		err = errors.Join(err, rows.Write(k.how, strconv.Itoa(k.pid), k.view.name, strconv.Itoa(k.view.line), k.reason, strconv.FormatBool(k.right), k.said))
	}
	if err != nil {
		return err
	}
	done, said, err := t.recycleAll(ctx)
	if err != nil {
		return err
	}
	return errors.Join(verdict(all, t.kills), recycled(done, said, t.recycles))
}

// verdict prints how many are right.
func verdict(all []killed, want int) error {
	right, reasons, of := 0, 0, map[string][2]int{}
	for _, k := range all {
		if k.reason == k.how {
			reasons++
		}
		n := of[k.how]
		if n[1]++; k.right {
			n[0]++
			right++
		}
		of[k.how] = n
	}
	for how, n := range of {
		fmt.Printf("%s: %d of %d with the right view and line\n", how, n[0], n[1])
	}
	fmt.Printf("%d of %d ends have the right reason\n", reasons, len(all))
	fmt.Printf("%d of %d workers that were killed in mid-request have the right view and line\n", right, len(all))
	if len(all) < want || float64(right) < wanted*float64(len(all)) {
		return fmt.Errorf("%d of %d are right, want %g", right, len(all), wanted)
	}
	return nil
}

// recycled prints what was said of workers that were recycled.
func recycled(done, said, want int) error {
	fmt.Printf("%d last words of %d workers that were recycled\n", said, done)
	if done < want || said > 0 {
		return fmt.Errorf("%d last words of %d recycled workers, want 0 of %d", said, done, want)
	}
	return nil
}

func (t *trialRun) close() {
	t.procs.Stop()
	_ = os.RemoveAll(t.dir)
	for end := time.Now().Add(10 * time.Second); t.group != "" && os.Remove(t.group) != nil && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
}

// started records a process, and waits until it answers.
func (t *trialRun) started(ctx context.Context, s run.Spec, url string) error {
	s.Dir, s.Logs = t.dir, t.dir
	_, err := t.procs.Start(ctx, s, patience, run.OK(url))
	return err
}

// fetch reads an answer of the exporter.
func (t *trialRun) fetch(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return run.GetJSON(ctx, http.DefaultClient, t.status+path, into)
}

// killAll kills workers in three ways.
func (t *trialRun) killAll(ctx context.Context) (all []killed, err error) {
	if err := t.memoryGroup(); err != nil {
		return nil, fmt.Errorf("make a control group: %w", err)
	}
	slow, err := t.gunicorn(ctx, "slow", false, "--workers", "4", "--timeout", strconv.Itoa(timeout))
	if err != nil {
		return nil, err
	}
	hit, err := t.gunicorn(ctx, "hit", false, "--workers", "4", "--timeout", "120")
	if err != nil {
		return nil, err
	}
	fat, err := t.gunicorn(ctx, "fat", true, "--workers", "2", "--timeout", "120")
	if err != nil {
		return nil, err
	}
	if err := t.startBeside(ctx); err != nil {
		return nil, err
	}
	for len(all) < t.kills {
		if err := errors.Join(t.idle(ctx, "slow", 4), t.idle(ctx, "hit", 4), t.idle(ctx, "fat", 2)); err != nil {
			return all, err
		}
		time.Sleep(*t.rest) // the sampler recovers its budget; see the flag
		round := t.round(ctx, slow, hit, fat)
		time.Sleep(8 * time.Second) // the exporter decides 5 s after its end how a worker ended
		if err := t.ask(ctx, round); err != nil {
			return all, err
		}
		for _, k := range round {
			all = append(all, *k)
		}
		fmt.Printf("%d workers are killed\n", len(all))
		t.printSampler(ctx)
	}
	return all, nil
}

// printSampler prints what the sampler could do, which depends on how busy the machine is.
func (t *trialRun) printSampler(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.status+"/metrics?collect[]=waits", http.NoBody)
	if err != nil {
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "resp_waits_") || strings.HasPrefix(line, "resp_stacks_") || strings.HasPrefix(line, `resp_series_dropped_total{family="waits_stack`) {
			fmt.Print("  ", line)
		}
	}
}

// lastWords returns what the exporter says, by pid.
func (t *trialRun) lastWords(ctx context.Context) (map[int]words, error) {
	var in struct {
		LastWords []words `json:"last_words"`
	}
	err := t.fetch(ctx, "/api/v1/incidents", &in)
	out := make(map[int]words)
	for _, w := range in.LastWords {
		out[w.PID] = w
	}
	return out, err
}

// ask compares with what the exporter says.
func (t *trialRun) ask(ctx context.Context, round []*killed) error {
	said, err := t.lastWords(ctx)
	if err != nil {
		return err
	}
	for _, k := range round {
		w, ok := said[k.pid]
		if !ok {
			continue
		}
		k.reason, k.said = w.Reason, w.On+", no view"
		switch s := w.Stack; {
		case s == nil:
			k.said = w.On + ", no stack"
		case s.View != nil && s.Own != nil:
			k.said = fmt.Sprintf("%s %s:%d", *s.View, filepath.Base(s.Own.File), s.Own.Line)
			k.right = *s.View == k.view.name && s.Own.Line == k.view.line && filepath.Base(s.Own.File) == "shop.py"
		}
	}
	return nil
}
