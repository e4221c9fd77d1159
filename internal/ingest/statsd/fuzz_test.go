package statsd_test

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// within reports whether b is nil or lies inside whole, without room to append.
func within(whole, b []byte) bool {
	if b == nil {
		return true
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return at >= start && at+uintptr(len(b)) <= start+uintptr(len(whole))
}

func checkEvent(t *testing.T, whole []byte, e *ingest.Event) {
	t.Helper()
	for _, b := range [][]byte{e.Method, e.Route, e.Level, e.Name} {
		if !within(whole, b) || !utf8.Valid(b) {
			t.Errorf("%q is not a part of the input in UTF-8", b)
		}
	}
	// The name of a discovered app is cleaned by the same function.
	if app := string(e.App); text.Name(app) != app || len(app) > text.MaxName {
		t.Errorf("app %q is not clean, or has %d bytes", app, len(app))
	}
	if !(e.Seconds >= 0 && e.Seconds <= 86400) {
		t.Errorf("seconds %v", e.Seconds)
	}
	if !(e.Weight >= 0 && e.Weight <= 1e9/0.0001*1.000001) {
		t.Errorf("weight %v", e.Weight)
	}
	if coded := e.Kind == ingest.Status || e.Kind == ingest.Request; coded != (e.Code >= 100 && e.Code <= 599) || !coded && e.Code != 0 {
		t.Errorf("kind %d with code %d", e.Kind, e.Code)
	}
	if (e.Kind == ingest.Log) != (e.Level != nil) {
		t.Errorf("kind %d with level %q", e.Kind, e.Level)
	}
	if e.Kind != ingest.Request && (e.Method != nil || e.Route != nil) {
		t.Errorf("kind %d with method %q and route %q", e.Kind, e.Method, e.Route)
	}
	if named := e.Kind == ingest.PoolWait || e.Kind == ingest.TaskRun; named != (len(e.Name) > 0) {
		t.Errorf("kind %d with name %q", e.Kind, e.Name)
	}
	if e.Failed && e.Kind != ingest.TaskRun {
		t.Errorf("kind %d failed", e.Kind)
	}
	if timed := e.Kind != ingest.Ignored && e.Kind != ingest.Status && e.Kind != ingest.Log; !timed && e.Seconds != 0 {
		t.Errorf("kind %d with seconds %v", e.Kind, e.Seconds)
	}
	if e.Kind > ingest.TaskRun {
		t.Errorf("kind %d", e.Kind)
	}
}

// readLine returns the line's events as text, after checking each.
func readLine(t *testing.T, line []byte) []string {
	t.Helper()
	var l statsd.Line
	err := statsd.Parse(line, &l)
	var out []string
	var e ingest.Event
	for l.Next(&e) {
		if err != nil {
			t.Fatalf("an event in spite of %v", err)
		}
		checkEvent(t, line, &e)
		out = append(out, formatEvent(&e))
	}
	if err == nil && len(out) == 0 {
		t.Error("a good line without an event")
	}
	if err != nil {
		known := false
		for _, s := range []error{statsd.ErrShape, statsd.ErrValue, statsd.ErrRate, statsd.ErrType, statsd.ErrSize, statsd.ErrUnknown} {
			known = known || errors.Is(err, s)
		}
		if !known {
			t.Errorf("an error of no kind: %v", err)
		}
		out = []string{err.Error()}
	}
	return out
}

// checkAppName checks that the app of a tag or a prefix is cleaned as discovery cleans
// that name.
func checkAppName(t *testing.T, s string) {
	t.Helper()
	if len(s) > 4096 || strings.ContainsAny(s, "|,\n\r") || s == "" || strings.HasSuffix(s, ".") {
		return // it cannot be written, or does not belong to the name
	}
	lines := []string{"gunicorn.requests:1|c|#app:" + s, "x.hypercorn.requests:1|c|#a,app:" + s + ",b"}
	if !strings.Contains("."+s, "corn.") && !strings.HasPrefix(s, "_e{") {
		lines = append(lines, s+".gunicorn.requests:1|c", s+".hypercorn.requests:1|c")
	}
	for _, line := range lines {
		var l statsd.Line
		var e ingest.Event
		if err := statsd.Parse([]byte(line), &l); err != nil || !l.Next(&e) || string(e.App) != text.Name(s) {
			t.Errorf("%q: app %q, %v; want %q", line, e.App, err, text.Name(s))
		}
	}
}

// FuzzParse: every event is within its bounds and, except for a cleaned name, points
// into the input; the input is not changed; a second parse has the same result; and a
// packet has exactly the events of its lines.
func FuzzParse(f *testing.F) {
	f.Add([]byte(gunicornLines))
	f.Add([]byte("resp.request:12:13|ms|@0.5|#app:shop,method:GET,route:/,code:200|c:1|T2\r\n_e{1,1}:a|b\n"))
	f.Add([]byte("shop.gunicorn.log.error:1|c|@0.3\n\n.gunicorn.:1e-400|h|#app:"))
	f.Add([]byte("shop:blue.gunicorn.requests:1|c|#app:,env:\xff\nmy shop.hypercorn.requests:1|c||#app:españa|"))
	f.Add([]byte("resp.queue_time:12.5|ms|#source:header,app:shop\nresp.pool_wait:2:3|ms|#pool:main\nresp.task:0|ms|#task:cleanup,outcome:failed,app:shop"))
	f.Add([]byte("resp.pool_wait:1|ms|#pool:\xff\nresp.task:1|h|@0.1|#task:a,task:,outcome:OK"))
	f.Add([]byte(longPod))
	f.Add([]byte("my shop:\xf1\u202e~2"))
	f.Add([]byte("gunicorn.workers:+1:-2|g\nfoo:1|s\n_sc|a|0"))
	f.Fuzz(func(t *testing.T, in []byte) {
		checkAppName(t, string(in))
		before := bytes.Clone(in)
		var lines [][]byte
		p := statsd.Packet(in)
		for line, ok := p.Next(); ok; line, ok = p.Next() {
			if len(line) == 0 || bytes.IndexByte(line, '\n') >= 0 || !within(in, line) {
				t.Fatalf("%q is no line", line)
			}
			lines = append(lines, line)
		}
		want := 0
		for raw := range bytes.SplitSeq(in, []byte("\n")) {
			if len(bytes.TrimSuffix(raw, []byte("\r"))) > 0 {
				want++
			}
		}
		if len(lines) != want {
			t.Errorf("%d lines, want %d", len(lines), want)
		}
		for _, line := range lines {
			first, second := readLine(t, line), readLine(t, bytes.Clone(line))
			if len(first) != len(second) {
				t.Fatalf("%q: %q, then %q", line, first, second)
			}
			for i := range first {
				if first[i] != second[i] {
					t.Errorf("%q: %q, then %q", line, first[i], second[i])
				}
			}
		}
		if !bytes.Equal(in, before) {
			t.Error("the input was changed")
		}
	})
}

// FuzzNumber: a number has the value that strconv reads, except for the last bits, and
// plain decimals within the bounds are read.
func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "12.3", "1e-05", "0.30000000000000004", ".5", "5.", "123456789012345678901234567890e-25", "4e-320", "0x1p-2", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, ":|") {
			return // no single value
		}
		got, err := events("gunicorn.request.status.200:" + s + "|c")
		want, werr := strconv.ParseFloat(s, 64)
		if err == nil && len(got) == 1 && werr != nil {
			t.Fatalf("%q: %q, but strconv: %v", s, got, werr)
		}
		var l statsd.Line
		var e ingest.Event
		if statsd.Parse([]byte("gunicorn.request.status.200:"+s+"|c"), &l) != nil || len(got) != 1 {
			return
		}
		l.Next(&e)
		if math.Abs(e.Weight-want) > 1e-13*want+1e-300 {
			t.Errorf("%q: %v, strconv: %v", s, e.Weight, want)
		}
	})
}
