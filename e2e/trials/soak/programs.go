package soak

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// python is Debian's, which sees Debian's gunicorn.
const python = "/usr/bin/python3"

// wsgi is the app.
const wsgi = `def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]
`

// flood sends datagrams of all kinds: lines of the app, of apps that are none,
// routes without end, numbers that are none, and bytes at random. It ends with
// the time that it is given, should its parent be killed.
const flood = `import random, socket, sys, time
host, port, path, seed, app, rate, seconds = sys.argv[1:]
r = random.Random(int(seed))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
local.setblocking(False)
def line():
    name = r.choice([app, "app%d" % r.randrange(10000), "x" * r.randrange(1, 300), "\xff\xfe", ""])
    return r.choice([
        "gunicorn.requests:1|c|#app:%s" % name,
        "gunicorn.request.status.%d:%d|c|#app:%s" % (r.choice([200, 500, -1, 99999]), r.choice([1, 10**6, -5]), name),
        "gunicorn.request.duration:%s|ms|#app:%s,route:/%d" % (r.choice(["1e308", "nan", "-1", "12.5"]), name, r.randrange(10**9)),
        "%s.requests:1|c" % name, "gunicorn.workers:%s|g" % r.randrange(10**12), "a" * r.randrange(9000),
    ]).encode("utf-8", "replace")
end, sent, began = time.monotonic() + float(seconds), 0, time.monotonic()
while time.monotonic() < end:
    packet = r.randbytes(r.randrange(1, 1400)) if r.random() < 0.1 else b"\n".join(line() for _ in range(r.randrange(1, 5)))
    for s, to in ((udp, (host, int(port))), (local, path)):
        try: s.sendto(packet, to)
        except OSError: pass
    sent += 1
    time.sleep(max(0, began + sent / float(rate) - time.monotonic()))
`

// start starts the exporter, the app and the hostile user.
func (b *bench) start(ctx context.Context) error {
	tcp := func() (int, error) { return run.FreePort(0) }
	for to, free := range map[*string]func() (int, error){&b.exporter: tcp, &b.app: tcp, &b.statsd: run.FreeUDPPort} {
		port, err := free()
		if err != nil {
			return fmt.Errorf("soak: %w", err)
		}
		*to = fmt.Sprintf("127.0.0.1:%d", port)
	}
	b.socket = filepath.Join(b.dir, "statsd.sock")
	for _, step := range []func(context.Context) error{b.startExporter, b.startApp, b.startHostile} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// name returns the name of the app, which no other directory has.
func (b *bench) name() string { return filepath.Base(b.dir) }

// startExporter starts the exporter and waits until it is ready.
func (b *bench) startExporter(ctx context.Context) error {
	text := fmt.Sprintf("statsd: {listen: [\"udp://%s\", \"unixgram://%s\"]}\n", b.statsd, b.socket)
	if !b.o.Discover {
		text += fmt.Sprintf("apps: [{name: %s, match: {cmdline: \"gunicorn.*%s\"}}]\n", b.name(), b.name())
	}
	file, err := b.file("resp-exporter.yml", text)
	if err != nil {
		return err
	}
	_, err = b.run(ctx, run.Spec{
		Name: "resp-exporter", Path: b.o.Exporter,
		Args: []string{"--web.listen-address=" + b.exporter, "--config.file=" + file, "--state.dir=" + filepath.Join(b.dir, "state"), "--log.level=error"},
	}, "http://"+b.exporter+"/-/ready")
	return err
}

// startApp starts gunicorn with four workers, waits until it answers, and sets its process
// id.
func (b *bench) startApp(ctx context.Context) error {
	if _, err := b.file("wsgi.py", wsgi); err != nil {
		return err
	}
	p, err := b.run(ctx, run.Spec{
		Name: "gunicorn", Path: "gunicorn", Dir: b.dir, Env: []string{"PYTHONDONTWRITEBYTECODE=1"},
		Args: []string{"--workers=4", "--bind=" + b.app, "--statsd-host=" + b.statsd, "--name=" + b.name(), "--log-level=critical", "wsgi:app"},
	}, "http://"+b.app+"/")
	if err == nil {
		b.master = p.PID()
	}
	return err
}

// startHostile starts the sender of hostile StatsD lines as another user; nothing without
// the option.
func (b *bench) startHostile(ctx context.Context) error {
	if b.o.Hostile <= 0 {
		return nil
	}
	host, port, err := net.SplitHostPort(b.statsd)
	if err != nil {
		return err
	}
	id := strconv.Itoa(hostile)
	_, err = b.run(ctx, run.Spec{
		Name: "hostile", Path: "setpriv", Dir: "/",
		Args: []string{
			"--reuid=" + id, "--regid=" + id, "--clear-groups", "--inh-caps=-all", "--no-new-privs",
			python, "-S", "-c", flood, host, port, b.socket, strconv.FormatUint(b.o.Seed, 10), b.name(),
			strconv.Itoa(b.o.Hostile), strconv.Itoa(int(b.o.Limit.Seconds())),
		},
	}, "")
	return err
}

// run starts a program and waits until url answers; "" waits for nothing.
func (b *bench) run(ctx context.Context, spec run.Spec, url string) (*run.Proc, error) {
	spec.Logs = b.dir
	var ready func(context.Context) error
	if url != "" {
		ready = run.OK(url)
	}
	p, err := b.procs.Start(ctx, spec, patience, ready)
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	return p, nil
}
