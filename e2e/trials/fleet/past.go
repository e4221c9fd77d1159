package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

// look is how far an instant query looks back.
const look = 5 * time.Minute

// lookbacks returns how far the rules look back at each metric.
func lookbacks(all []rules.Rule) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	p := parser.NewParser(parser.Options{})
	for _, r := range all {
		e, err := p.ParseExpr(r.Expr)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", r.Alert, r.Record, err)
		}
		parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
			v, ok := n.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			far := look + v.OriginalOffset
			for _, up := range path {
				switch up := up.(type) {
				case *parser.MatrixSelector:
					far += up.Range
				case *parser.SubqueryExpr:
					far += up.Range + up.OriginalOffset
				}
			}
			out[v.Name] = max(out[v.Name], far)
			return nil
		})
	}
	return out, nil
}

// memory is a recorded series that needs samples from before the trial; value returns its
// value on a host.
type memory struct {
	name  string
	step  time.Duration
	value func(host int) float64
}

// memories returns the recorded series that other rules read over longer ranges than a trial
// lasts. The series of each rule with a range of an hour or more must be among them.
func (r *recording) memories(all []rules.Rule) []memory {
	sum := func(metric, code string, scale float64) func(int) float64 {
		return func(host int) (v float64) {
			for i := range r.series {
				if s := &r.series[i]; s.name() == metric && strings.HasPrefix(s.labels.Get("code"), code) {
					v += s.rateOf(host) * scale
				}
			}
			return v
		}
	}
	const requests, slow, count = "resp_http_requests_total", "resp_http_slow_requests_total", "resp_http_request_duration_seconds_count"
	known := map[string]func(int) float64{
		"resp_http_requests:rate5m": sum(requests, "", 1), "resp_http_requests:avg2m_rate5m": sum(requests, "", 1),
		"resp_http_requests:increase5m": sum(requests, "", 300), "resp_http_requests:increase1h": sum(requests, "", 3600),
		"resp_http_errors:rate5m": sum(requests, "5", 1), "resp_http_errors:avg2m_rate5m": sum(requests, "5", 1),
		"resp_http_errors:increase5m":                           sum(requests, "5", 300),
		"resp_http_slow_requests:rate5m":                        sum(slow, "", 1),
		"resp_http_slow_requests:avg2m_rate5m":                  sum(slow, "", 1),
		"resp_http_request_duration_seconds_count:rate5m":       sum(count, "", 1),
		"resp_http_request_duration_seconds_count:avg2m_rate5m": sum(count, "", 1),
	}
	var out []memory
	for _, rule := range all {
		if value := known[strings.TrimPrefix(rule.Record, "instance_app:")]; value != nil {
			out = append(out, memory{rule.Record, max(rule.Interval, every), value})
		}
	}
	return out
}

// past writes blocks of Prometheus with what the rules look back at, until the time now.
// It returns the number of samples.
func (r *recording) past(ctx context.Context, dir string, hosts int, all []rules.Rule, began, now time.Time) (n int, err error) {
	far, err := lookbacks(all)
	if err != nil {
		return 0, err
	}
	const block = 12 * time.Hour
	for from := now.Add(-73 * time.Hour); from.Before(now); from = from.Add(block) {
		w, err := tsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, 2*block.Milliseconds())
		if err != nil {
			return n, err
		}
		b := blockOf{w: w, from: from, to: earlier(from.Add(block), now), now: now}
		for host := 0; host < hosts && err == nil; host++ {
			err = r.pastOf(ctx, &b, host, far, r.memories(all), began)
		}
		n += b.samples
		if err == nil && b.samples > 0 {
			_, err = w.Flush(ctx)
		}
		if err = errors.Join(err, w.Close()); err != nil {
			return n, err
		}
	}
	return n, nil
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// blockOf is a block that is being written, for the time from to to.
type blockOf struct {
	w             *tsdb.BlockWriter
	from, to, now time.Time
	samples       int
}

// put writes the part of a series that begins at a time and has a sample each step.
func (b *blockOf) put(ap storage.Appender, ls labels.Labels, t time.Time, step time.Duration, value func(t time.Time) float64) error {
	if t.Before(b.from) {
		t = t.Add((b.from.Sub(t) + step - 1) / step * step)
	}
	for ; t.Before(b.to); t = t.Add(step) {
		if _, err := ap.Append(0, ls, t.UnixMilli(), value(t)); err != nil {
			return err
		}
		b.samples++
	}
	return nil
}

// pastOf writes the part of a host.
func (r *recording) pastOf(ctx context.Context, b *blockOf, host int, far map[string]time.Duration, recorded []memory, began time.Time) error {
	ap := b.w.Appender(ctx)
	offset := time.Duration(host) * every / 1024 % every
	with := func(ls labels.Labels) *labels.Builder {
		return labels.NewBuilder(ls).Set("job", "resp").Set("instance", nameOf(host))
	}
	for _, m := range recorded {
		v := m.value(host)
		ls := with(labels.FromStrings(model.MetricNameLabel, m.name, "app", "shop")).Labels()
		if err := b.put(ap, ls, b.now.Add(-far[m.name]).Truncate(m.step).Add(offset), m.step, func(time.Time) float64 { return v }); err != nil {
			return err
		}
	}
	for i := range r.series {
		s := &r.series[i]
		if far[s.name()] == 0 || illnessOf(host) == exporterDown {
			continue
		}
		start := b.now.Add(-far[s.name()]).Truncate(every).Add(offset)
		if err := b.put(ap, with(s.labels).Labels(), start, every, func(t time.Time) float64 { return s.at(host, t.Sub(began)) }); err != nil {
			return err
		}
	}
	return ap.Commit()
}
