package statsd_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/statsd"
)

// formatEvent returns an event in one line, so that tables stay readable.
func formatEvent(e *ingest.Event) string {
	switch e.Kind {
	case ingest.Ignored:
		return fmt.Sprintf("ignored %s", e.App)
	case ingest.Duration:
		return fmt.Sprintf("duration %s %gs w%g", e.App, e.Seconds, e.Weight)
	case ingest.Status:
		return fmt.Sprintf("status %s %d w%g", e.App, e.Code, e.Weight)
	case ingest.Request:
		return fmt.Sprintf("request %s %s %s %d %gs w%g", e.App, e.Method, e.Route, e.Code, e.Seconds, e.Weight)
	case ingest.QueueTime:
		return fmt.Sprintf("queued %s %gs w%g", e.App, e.Seconds, e.Weight)
	case ingest.PoolWait:
		return fmt.Sprintf("pool %s %s %gs w%g", e.App, e.Name, e.Seconds, e.Weight)
	case ingest.TaskRun:
		return fmt.Sprintf("task %s %s failed %t %gs w%g", e.App, e.Name, e.Failed, e.Seconds, e.Weight)
	default:
		return fmt.Sprintf("log %s %s w%g", e.App, e.Level, e.Weight)
	}
}

func events(line string) ([]string, error) {
	var l statsd.Line
	if err := statsd.Parse([]byte(line), &l); err != nil {
		return nil, err
	}
	var out []string
	var e ingest.Event
	for l.Next(&e) {
		out = append(out, formatEvent(&e))
	}
	return out, nil
}

const longPod = "production-eu-west-1.team-checkout.shop-frontend-web-6d5f7c9b8d-x2x7q"

func TestParse(t *testing.T) {
	for line, want := range map[string]string{
		// As gunicorn formats them.
		"gunicorn.request.duration:12.3|ms":                  "duration  0.0123s w1",
		"gunicorn.requests:1|c|@1.0":                         "ignored ",
		"gunicorn.request.status.200:1|c|@1.0":               "status  200 w1",
		"gunicorn.workers:4|g":                               "ignored ",
		"gunicorn.workers:-1|g":                              "ignored ",
		"gunicorn.backlog:3|h":                               "ignored ",
		"gunicorn.log.error:1|c|@1.0":                        "log  error w1",
		"gunicorn.log.exception:1|c|@1.0":                    "log  exception w1",
		"gunicorn.log.info:1|c|@1.0":                         "ignored ",
		"shop.gunicorn.request.status.503:1|c|@1.0":          "status shop 503 w1",
		"gunicorn.shop.gunicorn.requests:1|c":                "ignored gunicorn.shop",
		"a.b.gunicorn.request.duration:1e-05|ms":             "duration a.b 1e-08s w1",
		"gunicorn.request.duration:5.0|ms|#app:shop,env:x":   "duration shop 0.005s w1",
		"pre.gunicorn.log.critical:1|c|@1.0|#app:shop":       "log shop critical w1",
		"x y.gunicorn.log.critical:1|c|#app:shop":            "log shop critical w1", // the tag wins, the prefix is not judged
		"gunicorn.request.duration:.5|h|@0.5":                "duration  0.0005s w2",
		"gunicorn.request.duration:5.|d":                     "duration  0.005s w1",
		"gunicorn.request.duration:86400000|ms":              "duration  86400s w1",
		"gunicorn.request.status.404:3|c|@0.1":               "status  404 w30",
		"gunicorn.request.status.404:0|c":                    "status  404 w0",
		"gunicorn.request.duration:0|ms|@0.0001":             "duration  0s w10000",
		"gunicorn.request.duration:1|ms|#":                   "duration  0.001s w1",
		"gunicorn.request.duration:1|ms|#a,,b:|c:83c0|T1|x:": "duration  0.001s w1",
		// Names are cleaned and cut as those of discovered apps.
		"gunicorn.request.status.200:1|c|#app:,env:prod":          "status  200 w1",
		"shop.gunicorn.request.status.200:1|c|#app:":              "status shop 200 w1",
		"gunicorn.request.status.200:1|c|#app:shop,app:":          "status shop 200 w1",
		"gunicorn.request.status.200:1|c|#env:prod, app:shop":     "status shop 200 w1",
		"gunicorn.request.status.200:1|c|#app:my shop":            "status my_shop 200 w1",
		"my shop.gunicorn.request.status.200:1|c":                 "status my_shop 200 w1",
		"gunicorn.request.status.200:1|c|#app:a11|":               "status a11 200 w1",
		"gunicorn.request.status.200:1|c||#app:a11||":             "status a11 200 w1",
		"gunicorn.request.status.200:1|c|#app:españa":             "status espa_a 200 w1",
		"españa.gunicorn.request.status.200:1|c":                  "status espa_a 200 w1",
		"gunicorn.request.status.200:1|c|#app:espa\xf1a,env:\xff": "status espa_a 200 w1",
		"espa\xf1a.gunicorn.request.status.200:1|c":               "status espa_a 200 w1",
		"gunicorn.request.status.200:1|c|#app:\x1b[31m\u202e":     "status __31m_ 200 w1",
		"gunicorn.request.status.200:1|c|#app:shop:blue":          "status shop:blue 200 w1",
		"shop:blue.gunicorn.request.status.200:1|c":               "status shop:blue 200 w1",
		"shop:2.gunicorn.request.duration:1:2|ms":                 "duration shop:2 0.001s w1; duration shop:2 0.002s w1",
		"shop..gunicorn.request.status.200:1|c":                   "status shop 200 w1",
		".gunicorn.request.status.200:1|c":                        "status  200 w1",
		"...gunicorn.request.status.200:1|c":                      "status  200 w1",
		"prod.shop.gunicorn.request.status.200:1|c":               "status prod.shop 200 w1",
		"sgunicorn.request.status.200:1|c|@1.0":                   "status s 200 w1",
		longPod + ".gunicorn.request.status.200:1|c":              "status " + longPod[:64] + " 200 w1",
		"gunicorn.request.status.200:1|c|#app:" + longPod:         "status " + longPod[:64] + " 200 w1",
		// hypercorn sends gunicorn's lines under its own name.
		"hypercorn.request.duration:12.3|ms":                   "duration  0.0123s w1",
		"hypercorn.requests:1|c|@1.0":                          "ignored ",
		"hypercorn.request.status.200:1|c|@1.0":                "status  200 w1",
		"hypercorn.log.exception:1|c|@1.0":                     "log  exception w1",
		"shop.hypercorn.request.status.404:1|c|@1.0":           "status shop 404 w1",
		"my shop.hypercorn.request.status.404:1|c|#app:":       "status my_shop 404 w1",
		"hypercorn.gunicorn.request.status.404:1|c|@1.0":       "status hypercorn 404 w1",
		"gunicorn.hypercorn.request.status.404:1|c|@1.0":       "status gunicorn 404 w1",
		"a.gunicorn.b.hypercorn.request.status.404:1|c|@1.0":   "status a.gunicorn.b 404 w1",
		"a.hypercorn.b.gunicorn.request.duration:1|ms|#app:c ": "duration c_ 0.001s w1",
		// The Flask integration.
		"resp.request:12|ms|#app:shop,method:GET,route:/i/<int:n>,code:200": "request shop GET /i/<int:n> 200 0.012s w1",
		"resp.request:12|d|@0.25|#code:500,app:shop":                        "request shop   500 0.012s w4",
		"resp.queue_time:12.500|ms|#source:header,app:shop":                 "queued shop 0.0125s w1",
		"resp.queue_time:1|h|@0.5":                                          "queued  0.001s w2",
		"resp.queue_time:86400000|ms|#pool:\xff,outcome:bad,route:\xff":     "queued  86400s w1", // tags of others are not judged
		"resp.pool_wait:2.500|ms|#pool:main,app:shop":                       "pool shop main 0.0025s w1",
		"resp.pool_wait:2:3|ms|#app:my shop,pool:a:b":                       "pool my_shop a:b 0.002s w1; pool my_shop a:b 0.003s w1",
		"resp.task:120|ms|#task:cleanup,outcome:ok,app:shop":                "task shop cleanup failed false 0.12s w1",
		"resp.task:0|ms|#task:cleanup,outcome:failed":                       "task  cleanup failed true 0s w1",
		// Several values.
		"gunicorn.request.duration:1:2.5:30|ms|@0.5": "duration  0.001s w2; duration  0.0025s w2; duration  0.03s w2",
		"gunicorn.request.status.200:1:2|c":          "status  200 w1; status  200 w2",
		"gunicorn.requests:1:2|c":                    "ignored ",
	} {
		got, err := events(line)
		if err != nil || strings.Join(got, "; ") != want {
			t.Errorf("%q: %q, %v; want %q", line, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const dur, code = "gunicorn.request.duration:", "gunicorn.request.status."
	for line, want := range map[string]error{
		"":                         statsd.ErrShape,
		"gunicorn.requests":        statsd.ErrShape,
		"gunicorn.requests:1":      statsd.ErrShape,
		":1|c":                     statsd.ErrShape,
		"x:|c":                     statsd.ErrShape,
		"a|b:1|c":                  statsd.ErrShape,
		"a b:1|c":                  statsd.ErrShape,
		"x\xff:1|c":                statsd.ErrShape,
		"resp.request:1|ms|#app:a": statsd.ErrShape,
		"resp.request:1|ms|#code:200,method:\xff": statsd.ErrShape,
		"resp.request:1|ms|#code:200,route:/\xff": statsd.ErrShape,
		"resp.queue_time:-1|ms":                   statsd.ErrValue,
		"resp.queue_time:86400001|ms":             statsd.ErrValue,
		"resp.queue_time:1|c":                     statsd.ErrUnknown,
		"resp.pool_wait:1|ms":                     statsd.ErrShape,
		"resp.pool_wait:1|ms|#pool:":              statsd.ErrShape,
		"resp.pool_wait:1|ms|#pool:\xff":          statsd.ErrShape,
		"resp.pool_wait:1|g|#pool:main":           statsd.ErrUnknown,
		"resp.task:1|ms|#task:a":                  statsd.ErrShape,
		"resp.task:1|ms|#task:a,outcome:":         statsd.ErrShape,
		"resp.task:1|ms|#outcome:ok":              statsd.ErrShape,
		"resp.task:1|ms|#outcome:ok,task:\xff":    statsd.ErrShape,
		"resp.task:1|ms|#task:a,outcome:OK":       statsd.ErrValue,
		"resp.task:1|ms|#task:a,outcome:okay":     statsd.ErrValue,
		"resp.task:1|c|#task:a,outcome:ok":        statsd.ErrUnknown,
		"resp.queue_times:1|ms":                   statsd.ErrUnknown,
		"x:1|c|":                                  statsd.ErrUnknown,
		"hypercorn.other:1|c":                     statsd.ErrUnknown,
		"peppercorn.requests:1|c":                 statsd.ErrUnknown,
		"a:b:1|c":                                 statsd.ErrUnknown,
		"shop:blue.gunicorn.other:1|c":            statsd.ErrUnknown,
		"shop:blue.gunicorn.requests":             statsd.ErrShape,
		dur + "-1|ms":                             statsd.ErrValue,
		dur + "+1|ms":                             statsd.ErrValue,
		dur + "nan|ms":                            statsd.ErrValue,
		dur + "inf|ms":                            statsd.ErrValue,
		dur + "1e400|ms":                          statsd.ErrValue,
		dur + "0x10|ms":                           statsd.ErrValue,
		dur + "1_0|ms":                            statsd.ErrValue,
		dur + ".|ms":                              statsd.ErrValue,
		dur + "1e|ms":                             statsd.ErrValue,
		dur + "1 |ms":                             statsd.ErrValue,
		dur + "1.2.3|ms":                          statsd.ErrValue,
		dur + "86400001|ms":                       statsd.ErrValue,
		dur + "1:2:x|ms":                          statsd.ErrValue,
		dur + "1::2|ms":                           statsd.ErrValue,
		dur + "1:|ms":                             statsd.ErrValue,
		code + "200:1000000001|c":                 statsd.ErrValue,
		code + "99:1|c":                           statsd.ErrValue,
		code + "600:1|c":                          statsd.ErrValue,
		code + "2x0:1|c":                          statsd.ErrValue,
		code + ":1|c":                             statsd.ErrValue,
		"resp.request:1|ms|#code:2000":            statsd.ErrValue,
		dur + "1|ms|@0":                           statsd.ErrRate,
		dur + "1|ms|@":                            statsd.ErrRate,
		dur + "1|ms|@1.01":                        statsd.ErrRate,
		dur + "1|ms|@0.000001":                    statsd.ErrRate,
		dur + "1|ms|@nan":                         statsd.ErrRate,
		dur + "1|ms|@1|@1":                        statsd.ErrRate,
		dur + "1|":                                statsd.ErrType,
		dur + "1|x":                               statsd.ErrType,
		dur + "1|c":                               statsd.ErrUnknown,
		code + "200:1|ms":                         statsd.ErrUnknown,
		"gunicorn.requests:x|s":                   statsd.ErrUnknown,
		"gunicorn.other:1|c":                      statsd.ErrUnknown,
		"resp.other:1|c":                          statsd.ErrUnknown,
		"foo.bar:1|c|@0.1|#a:b":                   statsd.ErrUnknown,
		"_e{1,1}:a|b":                             statsd.ErrUnknown,
		"_sc|name|0":                              statsd.ErrUnknown,
	} {
		if got, err := events(line); !errors.Is(err, want) || got != nil {
			t.Errorf("%q: %q, %v; want %v", line, got, err, want)
		}
	}
	long := "gunicorn.requests:1|c|#" + strings.Repeat("a", 8<<10)
	if _, err := events(long); !errors.Is(err, statsd.ErrSize) {
		t.Errorf("a line of %d bytes: %v", len(long), err)
	}
	if got, err := events("gunicorn.requests:1|c|#" + strings.Repeat("k:v,", 1000)); err != nil || len(got) != 1 {
		t.Errorf("1000 tags: %v, %v", got, err)
	}
}

func TestPacket(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"\n\r\n\n":           "",
		"a":                  "a",
		"a\n":                "a",
		"a\r\nb\n\nc\r":      "a b c",
		"\na\r\r\nb":         "a\r b",
		"one line\nand more": "one line and more",
	} {
		var lines []string
		p := statsd.Packet(in)
		for line, ok := p.Next(); ok; line, ok = p.Next() {
			lines = append(lines, string(line))
		}
		if got := strings.Join(lines, " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

const gunicornLines = "gunicorn.request.duration:12.3|ms\ngunicorn.requests:1|c|@1.0\ngunicorn.request.status.200:1|c\n"

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"duration": "gunicorn.request.duration:12.345678901234567|ms",
		"status":   "gunicorn.request.status.200:1|c|@1.0",
		"ignored":  "gunicorn.requests:1|c|@1.0",
		"prefix":   "shop.gunicorn.request.duration:12.3|ms",
		"request":  "resp.request:12.345|ms|#app:shop,method:GET,route:/items/<int:n>,code:200",
		"queued":   "resp.queue_time:12.345|ms|#source:header,app:shop",
		"pool":     "resp.pool_wait:12.345|ms|#pool:main,app:shop",
		"task":     "resp.task:12.345|ms|#task:cleanup,outcome:ok,app:shop",
		"colon":    "shop:blue.gunicorn.request.duration:12.3|ms",
		"cleaned":  "gunicorn.request.duration:12.3|ms|#app:my shop",
		"cut":      longPod + ".gunicorn.request.duration:12.3|ms",
		"hyper":    "hypercorn.request.duration:12.345678901234567|ms",
		"unknown":  "some.other.metric.of.somebody:12|g|#env:prod",
		"rubbish":  "not a line at all",
	} {
		b.Run(name, func(b *testing.B) {
			in := []byte(line)
			var l statsd.Line
			var e ingest.Event
			b.ReportAllocs()
			for b.Loop() {
				if statsd.Parse(in, &l) == nil {
					for l.Next(&e) {
						if math.IsNaN(e.Weight) {
							b.Fatal("no number")
						}
					}
				}
			}
		})
	}
}
