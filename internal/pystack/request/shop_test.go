package request_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

const (
	patience = time.Minute
	debian   = "/usr/bin/python3"
)

// route is one route of the app, and ask a request to it.
type route struct {
	Rule     string `json:"rule"`
	Endpoint string `json:"endpoint"`
	Style    string `json:"style"`
}

type ask struct {
	route
	id, method, path, target string
	view                     string
}

// word returns a word that a path may have, and how it is written there.
func word(rng *rand.Rand) string {
	letters := []rune("abcdefghijklmnopqrstuvwxyz0123456789-_~éßżółw商店😀")
	var b strings.Builder
	for range 1 + rng.IntN(12) {
		b.WriteRune(letters[rng.IntN(len(letters))])
	}
	return b.String()
}

// draw returns routes of each style.
func draw(rng *rand.Rand, styles []string) []route {
	var all []route
	for i, style := range styles {
		all = append(all, route{
			Rule:     fmt.Sprintf("/r%d%s/<value>/%s", i, word(rng), word(rng)),
			Endpoint: fmt.Sprintf("view_%d_%s", i, strings.ReplaceAll(word(rng), ".", "")),
			Style:    style,
		})
	}
	return all
}

// methods returns the methods of the requests. The last one is not a method of HTTP.
func methods() []string {
	return []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"}
}

// drawAsk returns a request to a route.
func drawAsk(rng *rand.Rand, r route) ask {
	a := ask{route: r, id: fmt.Sprintf("q%x", rng.Uint64()), method: methods()[rng.IntN(len(methods()))], view: r.Endpoint}
	a.path = strings.Replace(r.Rule, "<value>", word(rng), 1)
	a.target = (&url.URL{Path: a.path}).EscapedPath()
	if rng.IntN(2) == 0 {
		a.target += "?secret=" + url.QueryEscape(word(rng))
	}
	return a
}

// shop is a server with the app.
type shop struct {
	t       testing.TB
	folder  string
	client  *http.Client
	place   *time.Location // of the exporter
	start   bool           // it reports when a request began
	workers map[int]*worker
}

// worker is a process of a server.
type worker struct {
	process *pystack.Process
	reader  *request.Reader
	memory  *memory.Process
	threads map[int]*request.Thread
}

// servers returns the command lines of the servers that run with an interpreter.
// They listen on a UNIX socket; hypercorn, which cannot serve WSGI there, on an
// address.
func servers(python, socket, address string) map[string][]string {
	gunicorn := []string{python, "-m", "gunicorn.app.wsgiapp", "shop:app", "--bind", "unix:" + socket, "--workers", "1", "--timeout", "600", "--log-level", "warning"}
	all := map[string][]string{
		"gthread":  append(slices.Clip(gunicorn), "--threads", "3"),
		"waitress": {python, "-c", "import shop, waitress; waitress.serve(shop.app, unix_socket=" + strconv.Quote(socket) + ", threads=3)"},
	}
	if all["sync"] = gunicorn; python == debian {
		all["werkzeug"] = []string{python, "-c", "import shop; shop.app.run(host=" + strconv.Quote("unix://"+socket) + ", threaded=True)"}
		all["uvicorn"] = []string{python, "-m", "uvicorn", "--interface", "wsgi", "--uds", socket, "--log-level", "error", "shop:app"}
		all["hypercorn"] = []string{python, "-m", "hypercorn", "-b", address, "asgi:shop"}
		all["django"] = append(gunicorn[:3:3], append([]string{"pages:app"}, gunicorn[4:]...)...)
		all["starlette"] = []string{python, "-m", "uvicorn", "--uds", socket, "--log-level", "error", "asgi:app"}
		all["uwsgi"] = []string{"uwsgi", "--plugin", "python3", "--http-socket", socket, "--module", "shop:app", "--master", "--processes", "1", "--threads", "2", "--enable-threads", "--die-on-term"}
	}
	return all
}

// library returns a folder from which any interpreter imports Debian's Flask and
// servers, which are written in Python.
func library(t testing.TB, python string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "site-packages")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	names := []string{"gunicorn", "waitress"}
	if exec.CommandContext(t.Context(), python, "-c", "import flask").Run() != nil { // else it has a Flask of its own
		names = append(names, "flask", "werkzeug", "jinja2", "click", "itsdangerous", "markupsafe")
	}
	for _, name := range names {
		if err := os.Symlink("/usr/lib/python3/dist-packages/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// gunicorn imports it for plugins, of which there are none here; that of
	// Debian needs Debian's Python.
	if err := os.WriteFile(filepath.Join(dir, "pkg_resources.py"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// freeAddress returns a free address of the loopback.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// open starts a server with routes.
func open(t testing.TB, python, kind string, routes []route, env ...string) *shop {
	t.Helper()
	folder := t.TempDir()
	raw, err := json.Marshal(routes)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "routes.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "s")
	network, address := "unix", socket
	if kind == "hypercorn" {
		network, address = "tcp", freeAddress(t)
	}
	args := servers(python, socket, address)[kind]
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = folder
	if python != debian {
		here += ":" + library(t, python)
	}
	cmd.Env = append(os.Environ(), "SHOP_FOLDER="+folder, "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH="+here)
	cmd.Env = append(cmd.Env, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s: %s", python, kind, log.String())
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	s := &shop{
		t: t, folder: folder, place: time.Local, start: slices.Contains([]string{"sync", "gthread", "waitress", "django"}, kind), workers: map[int]*worker{},
		client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 2 * patience},
	}
	s.wait("the server listens", func() bool {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return s
}

// wait waits until something is so.
func (s *shop) wait(what string, so func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not within a minute: %s", what)
		}
	}
}

// truth is what the app has written down.
type truth struct {
	PID, TID int
	Time     float64
}

// send sends a request and returns, once it is stopped in the app, what the app
// has written down, and how to let it go on.
func (s *shop) send(a ask) (truth, func()) {
	s.t.Helper()
	done := make(chan error, 1)
	req, err := http.NewRequestWithContext(s.t.Context(), a.method, "http://shop"+a.target, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Id", a.id)
	if a.Style == "early" {
		req.Header.Set("X-Early", "1")
	}
	go func() {
		resp, err := s.client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		done <- err
	}()
	name := filepath.Join(s.folder, a.id)
	var found truth
	s.wait("the request is stopped", func() bool {
		select {
		case err := <-done:
			s.t.Fatalf("the answer to %s %s came early: %v", a.method, a.target, err)
		default:
		}
		raw, err := os.ReadFile(name + ".json")
		return err == nil && json.Unmarshal(raw, &found) == nil
	})
	return found, func() {
		if err := os.WriteFile(name+".free", nil, 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := <-done; err != nil {
			s.t.Fatal(err)
		}
	}
}

// worker returns a process of the server, which is opened once.
func (s *shop) worker(pid int) *worker {
	s.t.Helper()
	if w := s.workers[pid]; w != nil {
		return w
	}
	p, err := pystack.Open(procfs.New("/proc"), pid, pystack.NewCache())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	w := &worker{process: p, threads: map[int]*request.Thread{}}
	if w.reader, err = request.New(p, s.place, &object.Room{}); err != nil {
		s.t.Fatal(err)
	}
	w.memory, _ = p.Memory().(*memory.Process)
	s.workers[pid] = w
	return w
}

// look returns what is read of a thread once a look is proven.
func (s *shop) look(pid, tid int) (got request.Request, stack pystack.Stack) {
	s.t.Helper()
	w := s.worker(pid)
	if w.threads[tid] == nil {
		w.threads[tid] = &request.Thread{}
	}
	s.wait("a look is to be believed", func() bool {
		return pystack.OK == w.process.LookThen(tid, &stack, func(stack *pystack.Stack) error {
			w.reader.Read(w.threads[tid], stack, time.Now(), &got)
			return nil
		}) && stack.Frozen
	})
	return got, stack
}
