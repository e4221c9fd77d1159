package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// owner is the user of the attacked app.
const owner = 12345

// victim is an exporter that every user can send to, and a real app of another
// user that reports to it.
type victim struct {
	*exporter

	app *app
	dir string // of the exporter's socket; in it others may look
}

// attacked starts an exporter and, unless later is set, the app.
func attacked(t *testing.T, later bool) *victim {
	t.Helper()
	needRoot(t)
	v := &victim{dir: openDir(t)}
	udp, socket := fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t)), filepath.Join(v.dir, "statsd.sock")
	v.exporter = watch(t, export{statsd: fmt.Sprintf("statsd: {listen: [\"udp://%s\", \"unixgram://%s\"]}\n", udp, socket), args: []string{"--web.enable-lifecycle"},
		// Longer than the app itself takes on a busy machine, shorter than what is reported of it.
		config: "slow_request: 25s\nthresholds: {response_time: {warning: 25, critical: 28}}\n"})
	v.udp, v.socket = udp, socket
	if !later {
		v.serve(t, "")
	}
	return v
}

// serve starts the app as its own user, and waits until the exporter has seen it.
func (v *victim) serve(t *testing.T, name string) {
	t.Helper()
	v.app = serve(t, launch{server: "gunicorn", name: name, wrap: attackAs(owner), args: []string{"-w", "2", "--statsd-host", v.udp}})
	eventually(t, 20*time.Second, func() error { return wants("status of /", v.app.get("/"), http.StatusOK) })
	eventually(t, 20*time.Second, func() error { return v.scrape(t).want(1, "resp_up", "component=app:"+v.app.name) })
}

// asks sends n requests to the app, and waits until they are counted.
func (v *victim) asks(t *testing.T, n int) {
	t.Helper()
	before, _ := v.scrape(t).sum("resp_http_requests_total", "app="+v.app.name, "code=200")
	for range n {
		if status := v.app.get("/"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	eventually(t, 20*time.Second, func() error {
		now, _ := v.scrape(t).sum("resp_http_requests_total", "app="+v.app.name, "code=200")
		if now < before+float64(n) {
			return fmt.Errorf("%v requests are counted, want %v", now, before+float64(n))
		}
		return nil
	})
}

// unharmed returns an error if the app has errors or slow requests, or is not healthy.
func (v *victim) unharmed(t *testing.T) error {
	t.Helper()
	m := v.scrape(t)
	failed, _ := m.sum("resp_http_requests_total", "app="+v.app.name, "code=500")
	slow, _ := m.sum("resp_http_slow_requests_total", "app="+v.app.name)
	health, _ := m.sum("resp_health_status", "component=requests")
	return all(wants("errors of the app", failed, 0), wants("slow requests of the app", slow, 0), wants("health of requests", health, 0))
}

// sender is a program that sends lines: SENDER udp|port|unix|spoof ADDRESS COUNT LINE…
// It ends when all was sent, but with udp and spoof: then it keeps its socket, so that its
// user can be proven however busy the host is. {i} in a line is the number of its packet.
const sender = `import os, socket, struct, sys, time
way, to, count, lines = sys.argv[1], sys.argv[2], int(sys.argv[3]), "\n".join(sys.argv[4:])
def udp(bind=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if bind:
        s.bind(bind)
    return s
def target():
    host, port = to.rsplit("@", 1)[0].rsplit(":", 1)
    return host, int(port)
if way == "unix":
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect(to)
elif way == "spoof":
    # The port of the app's socket, on another address of this host.
    s = udp(("127.0.0.9", int(to.rsplit("@", 1)[1])))
    time.sleep(1.5)
elif way == "port":
    s = udp(("127.0.0.1", int(to.rsplit("@", 1)[1])))
else:
    s = udp()
for i in range(count):
    text = lines.replace("{i}", str(i)).encode()
    if way == "unix":
        s.send(text)
    elif way == "spoof":
        info = struct.pack("=i4s4s", 0, socket.inet_aton("127.0.0.1"), socket.inet_aton("0.0.0.0"))
        s.sendmsg([text], [(socket.IPPROTO_IP, 8, info)], 0, target())
    elif way == "closing":
        udp().sendto(text, target())
    else:
        s.sendto(text, target())
    if i % 20 == 19:
        time.sleep(0.002)
print("sent", flush=True)
time.sleep(900 if way in ("udp", "spoof") else 0)
`

// sends runs the sender as a user and waits until it has sent all, and has ended unless it
// keeps its socket.
func sends(t *testing.T, uid int, way, to string, count int, lines ...string) {
	t.Helper()
	argv := attackAs(uid, append([]string{python, "-c", sender, way, to, strconv.Itoa(count)}, lines...)...)
	p := start(t, run.Spec{Name: "sender-" + way, Path: argv[0], Args: argv[1:], Dir: "/"})
	eventually(t, 60*time.Second, func() error {
		ended, out := p.Err() != nil, p.Output(2000)
		sent := strings.Contains(out, "sent")
		if ended && !sent {
			t.Fatalf("the sender failed: %s", out)
		}
		return wants("all was sent", sent && (ended || way == "udp" || way == "spoof"), true)
	})
}

// harm returns lines with errors and slow requests of an app.
func harm(app string) []string {
	return []string{
		"gunicorn.request.status.500:1|c|#app:" + app, app + ".gunicorn.request.duration:60000|ms",
		"resp.request:60000|ms|#app:" + app + ",method:GET,route:/,code:500",
	}
}

// received waits until the exporter has read that many more packets.
func (v *victim) received(t *testing.T, n float64, f func()) {
	t.Helper()
	before, _ := v.scrape(t).sum("resp_statsd_packets_total")
	f()
	eventually(t, 20*time.Second, func() error {
		now, _ := v.scrape(t).sum("resp_statsd_packets_total")
		lost, _ := v.scrape(t).sum("resp_statsd_packets_dropped_total")
		if now+lost < before+n {
			return fmt.Errorf("%v packets have come, want %v", now-before, n)
		}
		return nil
	})
	passes(t, time.Second, "it is decided about each pending sender")
}

// TestAttackStatsDErrors checks that errors and slow requests that a stranger reports for
// another user's app do not count.
func TestAttackStatsDErrors(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"udp", "closing", "unix"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			v := attacked(t, false)
			v.asks(t, 5)
			to := v.udp
			if way == "unix" {
				to = v.socket
			}
			v.received(t, 200, func() { sends(t, attacker, way, to, 200, harm(v.app.name)...) })
			quiet(t, 6*time.Second, 200*time.Millisecond, "the app is not harmed, before and after the next evaluation", func() error { return v.unharmed(t) })
			v.asks(t, 5)
			eventually(t, 20*time.Second, func() error { return v.scrape(t).want(600, "resp_statsd_lines_total", "outcome=untrusted") })
			s, err := v.status()
			if err := all(err, s.lacks("requests", "untrusted", v.app.name)); err != nil {
				t.Error(err)
			}
			// Lines of the app's own user count, from any process.
			v.received(t, 3, func() { sends(t, owner, way, to, 3, "gunicorn.request.status.418:1|c|#app:"+v.app.name) })
			if way == "closing" { // its socket may be gone before it is looked up
				return
			}
			eventually(t, 20*time.Second, func() error { return v.scrape(t).want(3, "resp_http_requests_total", "app="+v.app.name, "code=418") })
		})
	}
}

// TestAttackStatsDBeforeTheStart checks that reports of a stranger for an app that does
// not run yet do not count.
func TestAttackStatsDBeforeTheStart(t *testing.T) {
	t.Parallel()
	v := attacked(t, true)
	name := unique("shop")
	v.received(t, 50, func() { sends(t, attacker, "unix", v.socket, 50, harm(name)...) })
	v.serve(t, name)
	v.asks(t, 5)
	if err := v.unharmed(t); err != nil {
		t.Error(err)
	}
}

// TestAttackStatsDNames checks that an app is counted although a stranger reported under
// as many names as fit first.
func TestAttackStatsDNames(t *testing.T) {
	t.Parallel()
	v := attacked(t, true)
	for _, way := range []string{"udp", "unix"} {
		to := map[string]string{"udp": v.udp, "unix": v.socket}[way]
		v.received(t, 120, func() {
			sends(t, attacker, way, to, 120, "gunicorn.request.status.200:1|c|#app:"+way+"{i}")
		})
	}
	v.serve(t, "")
	v.asks(t, 5)
}

// TestAttackStatsDRoutes checks that the routes of an app are counted although a stranger
// sent many routes first.
func TestAttackStatsDRoutes(t *testing.T) {
	t.Parallel()
	v := attacked(t, false)
	for _, way := range []string{"udp", "unix"} {
		to := map[string]string{"udp": v.udp, "unix": v.socket}[way]
		v.received(t, 400, func() {
			sends(t, attacker, way, to, 400, "resp.request:1|ms|#app:"+v.app.name+",method:GET,route:/"+way+"/{i},code:200")
		})
	}
	line := "resp.request:1|ms|#app:" + v.app.name + ",method:GET,route:/real,code:200"
	v.received(t, 3, func() { sends(t, owner, "udp", v.udp, 3, line) })
	eventually(t, 20*time.Second, func() error { return v.scrape(t).want(3, "resp_http_requests_total", "app="+v.app.name, "route=/real") })
}

// TestAttackStatsDPort checks lines that a stranger sends from the port of the app's
// socket: by IP_PKTINFO from a socket that has the port on another address, and from the
// port itself after the app has closed it.
func TestAttackStatsDPort(t *testing.T) {
	t.Parallel()
	v := attacked(t, false)
	v.asks(t, 5)
	port := sourcePort(t, v.udp)
	v.received(t, 100, func() {
		sends(t, attacker, "spoof", fmt.Sprintf("%s@%d", v.udp, port), 100, "gunicorn.request.status.500:1|c")
	})
	if err := v.unharmed(t); err != nil {
		t.Error(err)
	}
	free := freeUDPPort(t)
	to := fmt.Sprintf("%s@%d", v.udp, free)
	line := "gunicorn.request.status.204:1|c|#app:" + v.app.name
	v.received(t, 5, func() { sends(t, owner, "port", to, 5, line) })
	v.received(t, 100, func() { sends(t, attacker, "port", to, 100, strings.Replace(line, "204", "500", 1)) })
	if err := v.unharmed(t); err != nil {
		t.Error(err)
	}
}

// sourcePort reads in /proc/net/udp, as everybody may, from which port a socket
// is connected to an address on the loopback.
func sourcePort(t *testing.T, to string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(to)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/net/udp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[2] == fmt.Sprintf("0100007F:%04X", port) {
			n, err := strconv.ParseInt(f[1][len(f[1])-4:], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("nobody is connected to %s", to)
	return 0
}

// planter replaces the exporter's socket with a link to a file of root as soon as the
// socket exists: PLANTER PATH TARGET.
const planter = `import os, sys
path, target = sys.argv[1:]
print("ready", flush=True)
n = 0
while True:
    try:
        os.rename(path, path + ".%d" % (n % 2))
        os.symlink(target, path)
    except OSError:
        continue
    n += 1
    for _ in range(1000):
        if not os.path.islink(path):
            break
    else:
        os.unlink(path)
`

// TestAttackStatsDSocketPath plants links where the exporter binds its socket, while it is
// started, killed and reloaded repeatedly.
func TestAttackStatsDSocketPath(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, secret := attackerDir(t), filepath.Join(openDir(t), "secret")
	write(t, secret, "root's alone\n")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "statsd.sock")
	p := attack(t, "planter", python, "-c", planter, path, secret)
	eventually(t, 20*time.Second, func() error { return wants("planter ready", strings.Contains(p.Output(100), "ready"), true) })
	section := fmt.Sprintf("statsd: {listen: [\"unixgram://%s\"]}\n", path)
	untouched := func() bool {
		st, err := os.Stat(secret)
		if err != nil {
			t.Fatal(err)
		}
		return st.Mode().Perm() == 0o600
	}
	for range 3 {
		x := watch(t, export{statsd: section, args: []string{"--web.enable-lifecycle"}})
		for range 60 {
			for _, s := range []string{"statsd: {listen: []}\n", section} {
				write(t, x.config, s)
				eventually(t, 20*time.Second, func() error { // on a busy machine one may not be done in time
					status, body, err := x.do(http.MethodPost, "/-/reload")
					return all(err, wants("reload: "+body, status, http.StatusOK))
				})
				passes(t, 3*time.Millisecond, "the attacker has the time to plant a link")
			}
			if !untouched() {
				t.Fatal("a file of root's, of mode 0600, can be written by all")
			}
		}
		if err := x.scrape(t).want(0, "resp_statsd_listening", "listen=unixgram://"+path); err != nil {
			t.Error(err)
		}
		if err := x.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(secret); err != nil || string(b) != "root's alone\n" {
		t.Errorf("%q %v", b, err)
	}
}
