// Command lastwords has workers of gunicorn killed in mid-request: by gunicorn's timeout,
// by the OOM killer, by signals. The exporter must then know the view and the line of
// each, and nothing of workers that were recycled. Each end is a line of a CSV file.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

const (
	patience = 2 * time.Minute
	timeout  = 10 // seconds, gunicorn's
	wanted   = 0.98
	memory   = 300 << 20 // bytes of the control group
	source   = `import os, socket, threading, time
from flask import Flask
app = Flask(__name__)
quiet = socket.socket(); quiet.bind(("127.0.0.1", 0)); quiet.listen(8)
def begin(n):
    with open("pid-%d" % n, "w") as f: f.write(str(os.getpid()))
`
)

// kinds are what a request does until its worker is killed; each is a line of Python.
func kinds() []string {
	return []string{
		"time.sleep(600)",
		"while True: sum(range(1000))",
		"lock = threading.Lock(); lock.acquire(); lock.acquire()",
		"s = socket.create_connection(quiet.getsockname()); s.recv(1)",
		"x = []\n    while True: x.append(bytearray(4 << 20)) or time.sleep(.02)",
	}
}

// kind draws what a request does; few compute, so that the machine is not busy with them.
func (t *trialRun) kind() int {
	return []int{0, 0, 0, 1, 2, 2, 2, 3, 3, 3}[t.draw.IntN(10)]
}

// eats is the kind that takes memory until its worker is killed.
const eats = 4

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
	App, Reason string
	PID         int
	Stack       *struct {
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
	draw     *rand.Rand
	dir      string
	group    string
	status   string
	views    []view
	procs    []*run.Proc
	next     int
}

func main() { trial.Main("lastwords", start) }

func start(ctx context.Context) error {
	t := &trialRun{}
	flag.StringVar(&t.exporter, "exporter", "build/resp-exporter", "the exporter")
	t.rest = flag.Duration("rest", 10*time.Second, "between two rounds: nine workers are new in each, and each costs the sampler a part of its time once")
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
	for _, p := range slices.Backward(t.procs) {
		p.Stop()
	}
	_ = os.RemoveAll(t.dir)
	for end := time.Now().Add(10 * time.Second); t.group != "" && os.Remove(t.group) != nil && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
}

// started keeps a process, and waits until it answers.
func (t *trialRun) started(ctx context.Context, s run.Spec, url string) error {
	s.Dir, s.Logs = t.dir, t.dir
	p, err := run.Start(s)
	if err != nil {
		return err
	}
	t.procs = append(t.procs, p)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := run.Answers(ctx, p, url); err != nil {
		return fmt.Errorf("%w\n%s", err, p.Output(2000))
	}
	return nil
}

// startExporter writes the app and starts the exporter.
func (t *trialRun) startExporter(ctx context.Context) error {
	var b strings.Builder
	b.WriteString(source)
	for i, kind := range kinds() {
		v := view{name: fmt.Sprintf("%s%d", []string{"order", "report", "stock", "quote", "export"}[i], t.draw.IntN(1000))}
		body := strings.Repeat("    n += 0\n", t.draw.IntN(20)) + "    " + kind + "\n"
		fmt.Fprintf(&b, "@app.get('/%d/<int:n>')\ndef %s(n):\n    begin(n)\n%s    return ''\n", i, v.name, body)
		v.line = strings.Count(b.String(), "\n") - 1
		t.views = append(t.views, v)
	}
	b.WriteString("@app.get('/short')\ndef short():\n    time.sleep(.05)\n    return ''\n")
	port, err := run.FreePort(0)
	exporter, err2 := filepath.Abs(t.exporter)
	t.status = fmt.Sprintf("http://127.0.0.1:%d", port)
	err = errors.Join(err, err2, os.WriteFile(filepath.Join(t.dir, "shop.py"), []byte(b.String()), 0o644),
		// A title of the process would hide --timeout.
		os.WriteFile(filepath.Join(t.dir, "setproctitle.py"), []byte("raise ImportError('hidden by the trial')\n"), 0o644),
		os.WriteFile(filepath.Join(t.dir, "resp.yml"), []byte("statsd: {listen: []}\n"), 0o644), os.Mkdir(filepath.Join(t.dir, "state"), 0o700))
	if err != nil {
		return err
	}
	return t.started(ctx, run.Spec{Name: "exporter", Path: exporter, Args: []string{
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--log.level=debug", "--config.file=" + filepath.Join(t.dir, "resp.yml"), "--state.dir=" + filepath.Join(t.dir, "state"),
	}}, t.status+"/-/ready")
}

// fetch reads an answer of the exporter.
func (t *trialRun) fetch(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.status+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 32<<20)).Decode(into)
}

// gunicorn starts an app with some workers and returns its address.
func (t *trialRun) gunicorn(ctx context.Context, name string, inGroup bool, args ...string) (string, error) {
	port, err := run.FreePort(0)
	if err != nil {
		return "", err
	}
	at := fmt.Sprintf("127.0.0.1:%d", port)
	args = append([]string{"--bind", at, "--name", name, "--preload", "shop:app"}, args...)
	s := run.Spec{Name: name, Path: "gunicorn", Args: args, Env: []string{"PYTHONPATH=" + t.dir}}
	if inGroup {
		s.Path, s.Args = "/bin/sh", append([]string{"-c", `echo $$ > ` + t.group + `/cgroup.procs && exec gunicorn "$@"`, "sh"}, args...)
	}
	return at, t.started(ctx, s, "http://"+at+"/short")
}

// memoryGroup makes a control group with a limit.
func (t *trialRun) memoryGroup() error {
	const v1, v2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	top, files := v2, []string{"memory.max", "memory.swap.max"}
	values := []string{strconv.Itoa(memory), "0"}
	if _, err := os.Stat(v1); err == nil {
		top, files, values[1] = v1, []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}, values[0]
	}
	t.group = filepath.Join(top, fmt.Sprintf("resp-lastwords-%d", os.Getpid()))
	if err := os.Mkdir(t.group, 0o755); err != nil {
		return err
	}
	err := os.WriteFile(filepath.Join(t.group, files[0]), []byte(values[0]), 0o644)
	_ = os.WriteFile(filepath.Join(t.group, files[1]), []byte(values[1]), 0o644) // without swap there is no such file
	return err
}

// idle waits until the exporter samples so many idle workers of an app.
func (t *trialRun) idle(ctx context.Context, app string, n int) error {
	last := 0
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
		var s struct {
			Apps []struct {
				Name    string
				Workers []struct{ Threads []struct{ State string } }
			}
		}
		if err := t.fetch(ctx, "/api/v1/status", &s); err != nil {
			return err
		}
		last = 0
		for _, a := range s.Apps {
			for _, w := range a.Workers {
				if a.Name == app && len(w.Threads) > 0 && w.Threads[0].State == "idle" {
					last++
				}
			}
		}
		if last == n {
			return nil
		}
	}
	return fmt.Errorf("%d of %d workers of %s are idle", last, n, app)
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
	for len(all) < t.kills {
		if err := errors.Join(t.idle(ctx, "slow", 4), t.idle(ctx, "hit", 4), t.idle(ctx, "fat", 2)); err != nil {
			return all, err
		}
		time.Sleep(*t.rest)
		round := t.round(ctx, slow, hit, fat)
		time.Sleep(8 * time.Second) // it is told 5 s after its end how a worker ended
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

// round kills up to nine workers and returns them.
func (t *trialRun) round(ctx context.Context, slow, hit, fat string) []*killed {
	var wg sync.WaitGroup
	var out []*killed
	add := func(at, how string, kind int, kill func(pid int)) {
		k := &killed{how: how, view: t.views[kind]}
		out = append(out, k)
		t.next++
		n := t.next
		wg.Go(func() { t.one(ctx, k, at, kind, n, kill) })
	}
	for range 4 {
		add(slow, "timeout", t.kind(), nil)
	}
	for range 4 {
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGBUS}[t.draw.IntN(3)]
		wait := time.Duration(3000+t.draw.IntN(6000)) * time.Millisecond
		add(hit, "signal", t.kind(), func(pid int) {
			time.Sleep(wait)
			_ = syscall.Kill(pid, sig)
		})
	}
	add(fat, "oom", eats, nil)
	wg.Wait()
	return out
}

// one sends a request and has its worker killed.
func (t *trialRun) one(ctx context.Context, k *killed, at string, kind, n int, kill func(pid int)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/%d/%d", at, kind, n), http.NoBody)
		if err != nil {
			return
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	for k.pid == 0 && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
		if b, err := os.ReadFile(filepath.Join(t.dir, fmt.Sprintf("pid-%d", n))); err == nil {
			k.pid, _ = strconv.Atoi(string(b))
		}
	}
	if kill != nil {
		kill(k.pid)
	}
	<-ended
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
		k.reason = w.Reason
		if s := w.Stack; s != nil && s.View != nil && s.Own != nil {
			k.said = fmt.Sprintf("%s %s:%d", *s.View, filepath.Base(s.Own.File), s.Own.Line)
			k.right = *s.View == k.view.name && s.Own.Line == k.view.line && filepath.Base(s.Own.File) == "shop.py"
		}
	}
	return nil
}

// recycleAll has workers recycled under short requests, and returns how many were and how
// many last words there are of them.
func (t *trialRun) recycleAll(ctx context.Context) (done, said int, err error) {
	at, err := t.gunicorn(ctx, "fresh", false, "--workers", "4", "--max-requests", "8", "--max-requests-jitter", "4")
	if err == nil {
		err = t.idle(ctx, "fresh", 4)
	}
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	count := func() int {
		b, err := os.ReadFile(filepath.Join(t.dir, "fresh.log"))
		if err != nil {
			return 0
		}
		return strings.Count(string(b), "Worker exiting")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil && count() < t.recycles {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/short", http.NoBody)
				if err != nil {
					return
				}
				if resp, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}
		})
	}
	wg.Wait()
	time.Sleep(8 * time.Second)
	list, err := t.lastWords(context.WithoutCancel(ctx))
	for _, w := range list {
		if w.App == "fresh" {
			said++
		}
	}
	return count(), said, err
}
