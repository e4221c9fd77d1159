package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// source is the begin of the app.
const source = `import os, socket, threading, time
from flask import Flask
app = Flask(__name__)
quiet = socket.socket(); quiet.bind(("127.0.0.1", 0)); quiet.listen(8)
def begin(n):
    with open("pid-%d" % n, "w") as f: f.write(str(os.getpid()))
`

// kinds returns what a request can do until its worker is killed; each is a line of
// Python.
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
	b.WriteString("@app.get('/turns')\ndef turns():\n    while True: time.sleep(.1)\n")
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

// perWorker is how many threads a worker of the app beside has.
const perWorker = 16

// startBeside starts the app beside, and a request in each of its threads.
func (t *trialRun) startBeside(ctx context.Context) error {
	if *t.beside == 0 {
		return nil
	}
	workers := strconv.Itoa((*t.beside + perWorker - 1) / perWorker)
	at, err := t.gunicorn(ctx, "beside", false, "--workers", workers, "--threads", strconv.Itoa(perWorker+1), "--timeout", "120")
	for range *t.beside {
		go send(ctx, "http://"+at+"/turns")
	}
	return err
}
