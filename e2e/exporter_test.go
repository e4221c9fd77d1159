package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// exporter is one running exporter.
type exporter struct {
	*run.Proc

	url    string
	config string // the file's path
	udp    string // StatsD over UDP: host:port
	socket string // StatsD over a UNIX datagram socket: path
	client *http.Client
}

// export describes how to start the exporter.
type export struct {
	config string // more lines of the configuration, beside the statsd section
	statsd string // another statsd section
	args   []string
	binary string   // empty: the one that TestMain built
	wrap   []string // a program that runs it, with its arguments
	dir    string
	files  []*os.File // passed on as descriptors 3 and up
}

// watch starts the exporter with StatsD on addresses of its own.
func watch(t *testing.T, e export) *exporter {
	t.Helper()
	if e.dir == "" {
		e.dir = openDir(t)
	}
	if e.binary == "" {
		e.binary = binary
	}
	x := &exporter{
		udp:    fmt.Sprintf("127.0.0.1:%d", freeUDPPort(t)),
		socket: filepath.Join(t.TempDir(), "statsd.sock"),
		config: filepath.Join(e.dir, "resp-exporter.yml"),
		client: &http.Client{Timeout: scaled(20 * time.Second), Transport: &http.Transport{}},
	}
	if e.statsd == "" {
		e.statsd = x.statsdSection()
	}
	write(t, x.config, e.statsd+e.config)
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x.url = "http://" + address
	argv := append(append([]string{}, e.wrap...), e.binary, "--web.listen-address="+address, "--config.file="+x.config)
	argv = append(argv, e.args...)
	x.Proc = start(t, run.Spec{Name: "resp-exporter", Path: argv[0], Args: argv[1:], Files: e.files})
	t.Cleanup(x.client.CloseIdleConnections)
	if !slices.ContainsFunc(e.args, func(a string) bool { return strings.HasPrefix(a, "--web.config.file") }) {
		ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
		defer cancel()
		if err := run.Answers(ctx, x.Proc, x.url+"/-/ready"); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (x *exporter) statsdSection() string {
	return fmt.Sprintf("statsd: {listen: [\"udp://%s\", \"unixgram://%s\"]}\n", x.udp, x.socket)
}

// get requests a path from the exporter and returns status and body.
func (x *exporter) get(path string, header ...string) (int, string, error) {
	return x.do(http.MethodGet, path, header...)
}

func (x *exporter) do(method, path string, header ...string) (int, string, error) {
	req, err := http.NewRequest(method, x.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := x.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
	return resp.StatusCode, string(b), err
}

// send sends StatsD packets over UDP or, to a path, over a UNIX datagram socket.
func send(t *testing.T, to string, packets ...string) {
	t.Helper()
	network := "udp"
	if strings.HasPrefix(to, "/") {
		network = "unixgram"
	}
	c, err := net.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // as a client does, so that its user can be proven however busy the host is
	for _, p := range packets {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// metrics is one scrape.
type metrics map[string]*dto.MetricFamily

// scrape reads /metrics, which must always answer 200 and parse.
func (x *exporter) scrape(t *testing.T, query ...string) metrics {
	t.Helper()
	status, body, err := x.get("/metrics" + strings.Join(query, ""))
	if err != nil {
		t.Fatalf("scrape: %v", err)
	}
	if status != http.StatusOK {
		t.Fatalf("scrape: status %d\n%.2000s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("scrape: %v\n%.2000s", err, body)
	}
	return families
}

// each calls f for every series of name whose labels are as pairs say
// ("app=shop"), with all of its labels.
func (m metrics) each(name string, pairs []string, f func(labels map[string]string, v float64)) {
	family, ok := m[name]
	if !ok {
		return
	}
	for _, s := range family.Metric {
		labels := map[string]string{}
		for _, l := range s.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if matches(labels, pairs) {
			f(labels, value(s))
		}
	}
}

func matches(labels map[string]string, pairs []string) bool {
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		if labels[k] != v {
			return false
		}
	}
	return true
}

func value(s *dto.Metric) float64 {
	switch {
	case s.Counter != nil:
		return s.Counter.GetValue()
	case s.Gauge != nil:
		return s.Gauge.GetValue()
	case s.Histogram != nil:
		return float64(s.Histogram.GetSampleCount())
	default:
		return s.Untyped.GetValue()
	}
}

// sum adds up the series; ok reports whether there was one.
func (m metrics) sum(name string, pairs ...string) (total float64, ok bool) {
	m.each(name, pairs, func(_ map[string]string, v float64) {
		total, ok = total+v, true
	})
	return total, ok
}

// want returns an error unless the series exist and add up to v.
func (m metrics) want(v float64, name string, pairs ...string) error {
	got, ok := m.sum(name, pairs...)
	if !ok {
		return fmt.Errorf("no %s%v", name, pairs)
	}
	return wants(fmt.Sprintf("%s%v", name, pairs), got, v)
}

// list returns the series of some names, without those of other apps, for a message.
func (m metrics) list(app string, names ...string) string {
	var out []string
	for _, name := range names {
		m.each(name, nil, func(labels map[string]string, v float64) {
			if of, ok := labels["app"]; !ok || of == app {
				out = append(out, fmt.Sprintf("%s%v %g", name, labels, v))
			}
		})
	}
	return strings.Join(out, "; ")
}

// has returns an error unless such a series exists.
func (m metrics) has(name string, pairs ...string) error {
	if _, ok := m.sum(name, pairs...); !ok {
		return fmt.Errorf("no %s%v", name, pairs)
	}
	return nil
}

// pids returns the process id of each worker slot of an app.
func (m metrics) pids(app string) map[string]int {
	out := map[string]int{}
	m.each("resp_worker_info", []string{"app=" + app}, func(labels map[string]string, _ float64) {
		pid, _ := strconv.Atoi(labels["pid"])
		out[labels["worker"]] = pid
	})
	return out
}

// slots returns an error unless the workers of the app are exactly 0 … n−1.
func (m metrics) slots(app string, n int) error {
	var got []string
	for slot := range m.pids(app) {
		got = append(got, slot)
	}
	slices.Sort(got)
	var want []string
	for i := range n {
		want = append(want, strconv.Itoa(i))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("worker slots of %s are %v, want %v", app, got, want)
	}
	return nil
}

// kept returns the goroutines of the exporter and its descriptors, without those of
// processes that it watches: they come and go with the apps of other tests.
func (x *exporter) kept(t *testing.T) map[string]float64 {
	t.Helper()
	goroutines, ok := x.scrape(t).sum("go_goroutines")
	dir := fmt.Sprintf("/proc/%d/fd", x.PID())
	list, err := os.ReadDir(dir)
	if err != nil || !ok {
		t.Fatalf("goroutines %t, descriptors: %v", ok, err)
	}
	open := 0.0
	for _, e := range list {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && !strings.HasPrefix(to, "/proc/") && to != "anon_inode:[pidfd]" && !strings.HasPrefix(to, "pidfd:") {
			open++
		}
	}
	return map[string]float64{"goroutines": goroutines, "descriptors": open}
}

// keptMore returns an error if the exporter has kept more than before, beyond the slack.
func (x *exporter) keptMore(t *testing.T, before, slack map[string]float64) error {
	t.Helper()
	after := x.kept(t)
	for name, more := range slack {
		if after[name] > before[name]+more {
			return fmt.Errorf("%s: %v before, %v now", name, before[name], after[name])
		}
	}
	return nil
}
