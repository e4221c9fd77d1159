package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestStatsDBadInput checks that input that is not StatsD is counted as malformed and
// changes no other number.
func TestStatsDBadInput(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	name := unique("bad")
	tag := "|#app:" + name
	malformed := []string{
		"gunicorn.request.duration", "gunicorn.request.duration:", "gunicorn.request.duration:1|",
		":1|c", "\x00\x01\x02\xff\xfe", "gunicorn.request.duration:NaN|ms" + tag, "gunicorn.request.duration:+Inf|ms" + tag,
		"gunicorn.request.duration:-5|ms" + tag, "gunicorn.request.status.200:-1|c" + tag, "gunicorn.request.status.200:1|c|@0.0000001" + tag,
		"gunicorn.request.status.200:1|c|@0" + tag, "gunicorn.request.status.200:1|c|@NaN" + tag, "gunicorn.request.status.99999:1|c" + tag,
		"gunicorn.request.duration:1e400|ms" + tag, strings.Repeat("A", 60_000),
	}
	unknown := []string{"some.other.metric:1|c", "disk.free:12|g", "gunicorn.nonsense:1|c"}
	send(t, x.udp, append(append([]string{}, malformed...), unknown...)...)
	send(t, x.socket, append(append([]string{}, malformed...), unknown...)...)
	send(t, x.udp, "", "\n\n\n")
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.want(float64(2*len(malformed)), "resp_statsd_lines_total", "outcome=malformed"),
			m.want(float64(2*len(unknown)), "resp_statsd_lines_total", "outcome=unknown"),
			m.want(0, "resp_statsd_lines_total", "outcome=parsed"),
		)
	})
	m := x.scrape(t)
	for _, family := range []string{"resp_http_requests_total", "resp_http_request_duration_seconds"} {
		if _, ok := m.sum(family, "app="+name); ok {
			t.Errorf("bad lines made a %s of %s", family, name)
		}
	}
	// A good line beside bad ones counts.
	send(t, x.udp, "rubbish\ngunicorn.request.status.200:1|c"+tag+"\nmore rubbish|x")
	eventually(t, 10*time.Second, func() error {
		return x.scrape(t).want(1, "resp_http_requests_total", "app="+name, "code=200")
	})
}

// TestStatsDLongPackets sends the longest packets that UDP carries, of one line and of
// many.
func TestStatsDLongPackets(t *testing.T) {
	t.Parallel()
	x := watch(t, export{})
	name := unique("long")
	line := []byte("gunicorn.request.status.200:1|c|#app:" + name + "\n")
	lines := 65_507 / len(line)
	send(t, x.udp, string(bytes.Repeat(line, lines)), strings.Repeat("x", 65_507))
	eventually(t, 10*time.Second, func() error {
		m := x.scrape(t)
		return all(
			m.want(float64(lines), "resp_http_requests_total", "app="+name, "code=200"),
			m.want(1, "resp_statsd_lines_total", "outcome=malformed"),
		)
	})
}

// TestStatsDMillionRoutes sends a million routes, and checks that series and memory are
// bounded and every line is counted or lost by the kernel and counted there.
func TestStatsDMillionRoutes(t *testing.T) {
	t.Parallel()
	const lines, perPacket = 1_000_000, 20
	x := watch(t, export{})
	name := unique("flood")
	c, err := net.Dial("udp", x.udp)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var packet []byte
	for i := range lines {
		packet = fmt.Appendf(packet, "resp.request:12.5|ms|#app:%s,method:GET,code:200,route:/r/%d\n", name, i)
		if (i+1)%perPacket == 0 {
			if _, err := c.Write(packet); err != nil {
				t.Fatal(err)
			}
			packet = packet[:0]
		}
		if (i+1)%(perPacket*100) == 0 {
			time.Sleep(2 * time.Millisecond) // leave the other processes some time
		}
	}
	eventually(t, 30*time.Second, func() error {
		m := x.scrape(t)
		counted, _ := m.sum("resp_http_requests_total", "app="+name)
		lost, ok := m.sum("resp_statsd_packets_dropped_total", "where=socket")
		if !ok {
			return fmt.Errorf("no resp_statsd_packets_dropped_total for the socket")
		}
		return wants("lines counted and lost", counted+lost*perPacket, float64(lines))
	})
	m := x.scrape(t)
	series := 0
	m.each("resp_http_requests_total", []string{"app=" + name}, func(map[string]string, float64) { series++ })
	if series < 100 || series > 201 {
		t.Errorf("%d series for a million routes, want at most max_routes and one for the rest", series)
	}
	if err := all(m.has("resp_http_requests_total", "app="+name, "route=other"), m.has("resp_series_dropped_total")); err != nil {
		t.Error(err)
	}
	if rss := resident(t, x.PID()); rss > 64<<20 {
		t.Errorf("%d MiB resident after the flood", rss>>20)
	}
}

var vmRSS = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is a process's resident memory in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	match := vmRSS.FindSubmatch(b)
	if match == nil {
		t.Fatalf("no VmRSS of %d", pid)
	}
	kb, err := strconv.Atoi(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
