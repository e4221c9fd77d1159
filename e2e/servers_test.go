package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// app is one running example app.
type app struct {
	*run.Proc

	name   string // by which the exporter should know it
	dir    string // of its module
	listen string // its listener, as in the label: "127.0.0.1:8000" or "unix:/path"
	client *http.Client
}

// launch describes how to start the shop under a server.
type launch struct {
	source string // of the module; empty: the shop
	server string // gunicorn, uwsgi, uvicorn, hypercorn, waitress, flask, script
	name   string // of module and app; empty: a unique one
	title  string // gunicorn's --name
	port   int    // empty: a free one
	unix   bool   // listen on a UNIX socket instead
	dir    string // empty: a new one
	args   []string
	env    []string
	wrap   []string // a program that runs the server, with its arguments
}

// serve starts the shop and waits until it answers, unless wrap puts it where
// this process cannot reach it.
func serve(t *testing.T, l launch) *app {
	t.Helper()
	if l.name == "" {
		l.name = unique("shop")
	}
	if l.dir == "" {
		l.dir = openDir(t)
	}
	if l.port == 0 {
		l.port = freePort(t)
	}
	text, err := os.ReadFile(cmp.Or(l.source, "shop/shop.py"))
	if err != nil {
		t.Fatal(err)
	}
	module := write(t, filepath.Join(l.dir, l.name+".py"), string(text))
	a := &app{name: l.name, dir: l.dir, listen: fmt.Sprintf("127.0.0.1:%d", l.port)}
	if l.title != "" {
		a.name = l.title
	}
	if l.unix {
		a.listen = "unix:" + filepath.Join(l.dir, "s.sock")
	}
	a.client = clientOf(t, a.listen)
	argv := append(append([]string{}, l.wrap...), command(l, module, a.listen)...)
	a.Proc = start(t, run.Spec{
		Name: l.server, Path: argv[0], Args: argv[1:], Dir: l.dir,
		Env: append([]string{"PYTHONDONTWRITEBYTECODE=1", fmt.Sprintf("PORT=%d", l.port)}, l.env...),
	})
	if l.wrap == nil {
		eventually(t, 20*time.Second, func() error {
			if err := a.Err(); err != nil {
				t.Fatalf("%v\n%s", err, a.Output(3000))
			}
			return wants("status of /healthz", a.get("/healthz"), http.StatusOK)
		})
	}
	return a
}

// command returns the command line that serves the app of module at listen, by server.
func command(l launch, module, listen string) []string {
	spec := l.name + ":app"
	switch l.server {
	case "gunicorn":
		argv := []string{"gunicorn", "--bind", listen}
		if l.title != "" {
			argv = append(argv, "--name", l.title)
		}
		return append(append(argv, l.args...), spec)
	case "uwsgi":
		socket := strings.TrimPrefix(listen, "unix:")
		argv := []string{"uwsgi", "--plugin", "python3", "--die-on-term", "--need-app", "--http-socket", socket, "--module", spec, "--chdir", l.dir}
		return append(argv, l.args...)
	case "uwsgi-http":
		argv := []string{"uwsgi", "--plugin", "python3,http", "--die-on-term", "--need-app", "--http", listen, "--module", spec, "--chdir", l.dir}
		return append(argv, l.args...)
	case "uvicorn":
		argv := []string{"uvicorn", "--interface", "wsgi", "--app-dir", l.dir, "--port", port(listen)}
		return append(append(argv, l.args...), spec)
	case "hypercorn":
		return append(append([]string{"hypercorn", "--bind", listen}, l.args...), spec)
	case "waitress":
		return append(append([]string{python, "-m", "waitress", "--listen=" + listen}, l.args...), spec)
	case "flask":
		return append([]string{python, "-m", "flask", "--app", l.name, "run", "--port", port(listen)}, l.args...)
	default: // a plain script: the shop's own app.run
		return append([]string{python, module}, l.args...)
	}
}

func port(listen string) string { return listen[strings.LastIndexByte(listen, ':')+1:] }

// clientOf returns a client that sends each request to listen over a new connection.
func clientOf(t *testing.T, listen string) *http.Client {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, listen)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 40 * time.Second}
}

func dial(ctx context.Context, listen string) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", listen)
}

// get requests a page and returns the status, 0 if there was none.
func (a *app) get(path string) int {
	resp, err := a.client.Get("http://app" + path)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// behind starts a request that is not waited for. It ends with the app.
func (a *app) behind(path string) {
	go a.get(path)
}

// crowd opens connections to the app until its queue is full, at most n, and keeps them
// open until the test ends.
func (a *app) crowd(t *testing.T, n int) {
	t.Helper()
	for range n {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		c, err := dial(ctx, a.listen)
		cancel()
		if err != nil {
			continue // full: the kernel drops our SYN, or returns EAGAIN
		}
		t.Cleanup(func() { _ = c.Close() })
		// Two handshakes that end at once on two processors may both find the
		// last place free: the kernel then holds one more than it should.
		passes(t, 20*time.Millisecond, "the handshake ends before the next one begins")
	}
}

// withoutTitles is an environment in which Python has no setproctitle.
func withoutTitles(t *testing.T) []string {
	dir := openDir(t)
	write(t, filepath.Join(dir, "setproctitle.py"), "raise ImportError('hidden by the test')\n")
	return []string{"PYTHONPATH=" + dir}
}
