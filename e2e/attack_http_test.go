package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// address is the host and port of the exporter.
func (x *exporter) address() string { return strings.TrimPrefix(x.url, "http://") }

// ask sends raw bytes over a new connection and does not read the response.
func (x *exporter) ask(t *testing.T, raw string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", x.address(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	// So that a few kilobytes fill the way to the reader.
	if err := c.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, raw)
	return c
}

// large starts an exporter whose metrics have so many series that a few answers do
// not fit into the kernel's buffers of a connection.
func large(t *testing.T) *exporter {
	t.Helper()
	name := unique("large")
	x := &exporter{udp: fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t))}
	udp := x.udp
	x = watch(t, export{
		statsd: fmt.Sprintf("statsd: {listen: [\"udp://%s\"], max_routes: 1000}\n", udp),
		config: fmt.Sprintf("apps: [{name: %s, match: {cmdline: %s-does-not-run}}]\n", name, name),
	})
	x.udp = udp
	sent := 0
	eventually(t, 60*time.Second, func() error {
		for range 40 { // a few at a time, so that none is lost
			var b strings.Builder
			for range 15 {
				fmt.Fprintf(&b, "resp.request:12.5|ms|#app:%s,method:GET,code:200,route:/r/%d\n", name, sent%1000)
				sent++
			}
			send(t, x.udp, b.String())
		}
		_, body, err := x.get("/metrics")
		if len(body) < 3<<19 {
			err = all(err, fmt.Errorf("the metrics have %d bytes", len(body)))
		}
		return err
	})
	return x
}

// answersWithin returns an error unless a scrape has status 200 in that time, which is longer
// on a busy machine.
func (x *exporter) answersWithin(limit time.Duration) error {
	client := &http.Client{Timeout: scaled(limit), Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(x.url + "/metrics")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return all(err, wants("status of /metrics", resp.StatusCode, http.StatusOK))
}

// TestAttackSlowReaders checks that clients that request a scrape and do not read it block
// no other scrape, and are disconnected.
func TestAttackSlowReaders(t *testing.T) {
	t.Parallel()
	x := large(t)
	var conns []net.Conn
	for range 45 {
		// One after the other, so that the answers do not fit into the kernel's buffers.
		conns = append(conns, x.ask(t, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: "+x.address()+"\r\n\r\n", 6)))
	}
	// No other client is served for a while where the machine is busy, but not for as long as
	// the clients like.
	passes(t, 8*time.Second, "all answers wait for their readers")
	eventually(t, 40*time.Second, func() error { return x.answersWithin(10 * time.Second) })
	ended(t, conns)
	peak, err := peakMemory(x.PID())
	if err != nil || peak > 700<<20 {
		t.Errorf("the exporter took %d MB, %v", peak>>20, err)
	}
}

// ended waits until the exporter has closed the connections of clients that do not read.
func ended(t *testing.T, conns []net.Conn) {
	t.Helper()
	eventually(t, 40*time.Second, func() error {
		left := 0
		for _, c := range conns {
			// A client that was cut off has an error pending.
			if _, err := c.Write([]byte("x")); err == nil {
				left++
			}
		}
		return wants("slow readers that are still connected", left, 0)
	})
}

// TestAttackIdleConnections opens more connections than the limit of open files allows,
// and checks that the exporter still answers.
func TestAttackIdleConnections(t *testing.T) { // alone: the exporter may open few files
	need(t, "bash")
	for name, what := range map[string]string{"idle": "", "half a request": "GET /metrics HTTP/1.1\r\nHost: x\r\n"} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			x := watch(t, export{wrap: []string{"bash", "-c", `ulimit -n 256; exec "$0" "$@"`}}) // beside the apps of other tests
			var conns []net.Conn
			for range 400 {
				c, err := net.DialTimeout("tcp", x.address(), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				_, _ = io.WriteString(c, what)
				conns = append(conns, c)
			}
			quiet(t, 2*time.Second, 300*time.Millisecond, fmt.Sprintf("the exporter answers beside %d connections", len(conns)), func() error {
				return x.answersWithin(5 * time.Second)
			})
			files, err := os.ReadDir("/proc/" + strconv.Itoa(x.PID()) + "/fd")
			if err != nil || len(files) > 250 {
				t.Errorf("%d files are open, %v", len(files), err)
			}
		})
	}
}

// TestAttackSlowBodies checks that clients that announce bodies and do not send them block
// no others.
func TestAttackSlowBodies(t *testing.T) { // alone: the exporter may open few files
	need(t, "bash")
	// 256: it needs some for the apps of tests of other packages.
	x := watch(t, export{wrap: []string{"bash", "-c", `ulimit -n 256; exec "$0" "$@"`}})
	for _, what := range []string{
		"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
		"POST /api/v1/alerts HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
		"POST /none HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 9\r\n\r\n",
	} {
		for range 250 {
			c, err := net.DialTimeout("tcp", x.address(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, what)
		}
		passes(t, 500*time.Millisecond, "the exporter accepts what it can before it reaches its limit of connections")
		if err := x.answersWithin(10 * time.Second); err != nil {
			t.Errorf("beside clients that sent %q: %v", what, err)
		}
	}
}

// TestAttackDNSRebinding checks that a page of another site whose name resolves to the
// exporter's address cannot read it.
func TestAttackDNSRebinding(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(x.address())
	const json = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for name, c := range map[string]struct {
		request string
		code    int
	}{
		"page":                  {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"status":                {"GET /api/v1/status HTTP/1.1\r\nHost: evil.example:" + port + "\r\n\r\n", 403},
		"runs":                  {"GET /api/v1/runs HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"page's own JSON":       {"GET /api/v1/page HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		"starts like an IP":     {"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403},
		"starts like the host":  {"GET /api/v1/status HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403},
		"ends like the host":    {"GET /api/v1/status HTTP/1.1\r\nHost: evil-localhost\r\n\r\n", 403},
		"whole URL":             {"GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
		"forwarded host":        {"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: localhost\r\n\r\n", 403},
		"old protocol":          {"GET /api/v1/status HTTP/1.0\r\nHost: evil.example\r\n\r\n", 403},
		"alerts from a browser": {"POST /api/v1/alerts HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n" + json, 403},
		"reload from a browser": {"POST /-/reload HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n", 403},
		"IP":                    {"GET /api/v1/status HTTP/1.1\r\nHost: " + x.address() + "\r\n\r\n", 200},
		"IPv6":                  {"GET /api/v1/status HTTP/1.1\r\nHost: [::1]:" + port + "\r\n\r\n", 200},
		"localhost":             {"GET / HTTP/1.1\r\nHost: LocalHost.:" + port + "\r\n\r\n", 200},
		"own name":              {"GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200},
		"no host":               {"GET / HTTP/1.0\r\n\r\n", 200},
		"metrics":               {"GET /metrics HTTP/1.1\r\nHost: exporter.prod\r\n\r\n", 200},
		"ready":                 {"GET /-/ready HTTP/1.1\r\nHost: exporter.prod\r\n\r\n", 200},
		"Alertmanager":          {"POST /api/v1/alerts HTTP/1.1\r\nHost: exporter.prod\r\n" + json, 400},
	} {
		if got := x.statusOf(t, c.request); got != c.code {
			t.Errorf("%s: status %d, want %d", name, got, c.code)
		}
	}
	allowed := watch(t, export{args: []string{"--web.external-url=https://Resp.Example.com/"}})
	if got := allowed.statusOf(t, "GET / HTTP/1.1\r\nHost: resp.example.com\r\n\r\n"); got != 200 {
		t.Errorf("the host of the external URL: status %d", got)
	}
}

// statusOf sends raw bytes and returns the status code of the answer.
func (x *exporter) statusOf(t *testing.T, raw string) int {
	t.Helper()
	c, err := net.DialTimeout("tcp", x.address(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(scaled(10 * time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestAttackTokenFile checks that all requests are refused if others can write to the
// token file or it has not exactly one token. CRLF line ends are accepted.
func TestAttackTokenFile(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir, state := openDir(t), t.TempDir()
	file := filepath.Join(dir, "token")
	x := watch(t, export{config: "healing: {mode: dry_run, token_file: " + file + "}\n", args: []string{"--state.dir=" + filepath.Join(state, "s")}})
	const pause = `{"reason": "test", "for": "1m", "by": "ann"}`
	send := func(token string) int {
		return x.statusOf(t, fmt.Sprintf("POST /api/v1/pause HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", x.address(), token, len(pause), pause))
	}
	for name, c := range map[string]struct {
		text, token string
		mode        os.FileMode
		uid         int
		code        int
	}{
		"a token":               {"s3cret-one\n", "s3cret-one", 0o600, 0, 200},
		"a token of Kubernetes": {"s3cret-one", "s3cret-one", 0o444, 0, 200},
		"a byte order mark":     {"\xef\xbb\xbfs3cret-one\r\n", "s3cret-one", 0o600, 0, 200},
		"all may write":         {"s3cret-one\n", "s3cret-one", 0o666, 0, 503},
		"a stranger's":          {"s3cret-one\n", "s3cret-one", 0o600, attacker, 503},
		"two lines, the first":  {"s3cret-one\nother\n", "s3cret-one", 0o600, 0, 503},
		"empty":                 {"", "", 0o600, 0, 503},
	} {
		_ = os.Remove(file)
		if err := all(os.WriteFile(file, []byte(c.text), 0o600), os.Chown(file, c.uid, c.uid), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		if got := send(c.token); got != c.code {
			t.Errorf("%s: status %d, want %d", name, got, c.code)
		}
	}
}

// TestAttackReadsMemory checks that a process with the user id of the exporter cannot read
// its secrets.
func TestAttackReadsMemory(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "setpriv", python)
	const uid = 12345
	_, path := public(t)
	secret := unique("s3cret")
	x := watch(t, export{
		binary: path, wrap: append(attackAs(uid), "env", "RESP_TEST_SECRET="+secret),
		config: "healing: {mode: off}\n", args: []string{"--state.dir=" + t.TempDir()},
	})
	eventually(t, 20*time.Second, func() error { return x.answersWithin(5 * time.Second) })
	const thief = `
import ctypes, os, sys
p = "/proc/" + sys.argv[1]
got = []
for f in ("environ", "mem", "maps", "auxv"):
    try:
        b = open(p + "/" + f, "rb")
        if f != "mem":
            b.read()
        got.append(f)
    except OSError:
        pass
try:
    for n in os.listdir(p + "/fd"):
        os.readlink(p + "/fd/" + n)
        got.append("fd")
        break
except OSError:
    pass
libc = ctypes.CDLL(None)
if libc.ptrace(0x4206, int(sys.argv[1]), 0, 0) == 0:  # PTRACE_SEIZE, which stops nothing
    got.append("ptrace")
print("read:", *got)
`
	argv := append(attackAs(uid), python, "-c", thief, strconv.Itoa(x.PID()))
	p := start(t, run.Spec{Name: "thief", Path: argv[0], Args: argv[1:], Dir: "/"})
	select {
	case <-p.Done():
	case <-time.After(scaled(30 * time.Second)):
		t.Fatal("the thief does not end")
	}
	if out := strings.TrimSpace(p.Output(2000)); out != "read:" {
		t.Errorf("a process of the same user: %q", out)
	}
	m := x.scrape(t)
	for _, name := range []string{"process_open_fds", "process_resident_memory_bytes", "process_max_fds", "process_start_time_seconds", "process_cpu_seconds_total"} {
		if err := m.has(name); err != nil {
			t.Error(err)
		}
	}
}

// peakMemory reads the most memory that a process had resident so far, in bytes
// (/proc/PID/status, VmHWM).
func peakMemory(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmHWM", pid)
}
