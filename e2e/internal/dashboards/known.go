package dashboards

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

// Known is what a Prometheus that scrapes the exporter, with the shipped rules,
// has series of, by their names.
type Known map[string]Series

// Series describes a metric.
type Series struct {
	Type   string // counter, gauge, histogram (its parts are in Known too), or empty
	Labels Labels // those that some series has, job and instance among them; nil is any

	empty Labels      // those that some series has, but empty
	expr  parser.Expr // of a recording rule
}

// Labels is a set of names of labels; nil is all of them.
type Labels map[string]bool

// has reports whether the labels include one; nil labels, which are unknown, include all.
func (l Labels) has(name string) bool { return l == nil || l[name] }

// labelsOf returns a set of labels: the names, and job and instance, which each series has.
func labelsOf(names ...string) Labels {
	out := Labels{"job": true, "instance": true}
	for _, n := range names {
		if n != "" {
			out[n] = true
		}
	}
	return out
}

// KnownFiles names the files from which Known is read.
type KnownFiles struct {
	Scrapes string // a directory of scrapes, *.prom
	Docs    string // a file with tables of metrics: `name` | type | `label`, `label`
	Rules   string // a directory of rule files
}

// LoadKnown returns the known metrics.
func LoadKnown(from KnownFiles) (Known, error) {
	known := Known{
		"up": {Labels: labelsOf()}, "scrape_duration_seconds": {Labels: labelsOf()}, "scrape_samples_scraped": {Labels: labelsOf()},
		"scrape_samples_post_metric_relabeling": {Labels: labelsOf()}, "scrape_series_added": {Labels: labelsOf()},
	}
	if err := known.scrapes(from.Scrapes); err != nil {
		return nil, err
	}
	if err := known.docs(from.Docs); err != nil {
		return nil, err
	}
	known.add("resp_exporter_build_info", "gauge", "version", "revision", "branch", "goversion", "goos", "goarch", "tags")
	return known, known.rules(from.Rules)
}

// find returns the description of a metric. The labels of metrics of Prometheus,
// Alertmanager and the exporter's libraries are not known.
func (k Known) find(name string) (Series, bool) {
	if s, ok := k[name]; ok {
		return s, true
	}
	for _, prefix := range []string{"go_", "process_", "promhttp_"} {
		if strings.HasPrefix(name, prefix) {
			return Series{Type: guess(name)}, true
		}
	}
	return Series{Type: guess(name)}, foreign(name)
}

// foreign reports whether a metric is of another job.
func foreign(name string) bool {
	return strings.HasPrefix(name, "prometheus_") || strings.HasPrefix(name, "alertmanager_")
}

// guess returns counter for a name with the suffix of one, else "".
func guess(name string) string {
	for _, suffix := range []string{"_total", "_bucket", "_sum", "_count"} {
		if strings.HasSuffix(name, suffix) {
			return "counter"
		}
	}
	return ""
}

// add adds a metric, or labels to one that is there.
func (k Known) add(name, kind string, labels ...string) {
	parts := map[string]string{name: kind}
	if kind == "histogram" {
		parts = map[string]string{name + "_bucket": "counter", name + "_sum": "counter", name + "_count": "counter"}
	}
	for part, kind := range parts {
		all := labelsOf(labels...)
		if strings.HasSuffix(part, "_bucket") {
			all["le"] = true
		}
		maps.Copy(all, k[part].Labels)
		k[part] = Series{Type: kind, Labels: all, empty: k[part].empty}
	}
}

// scrapes adds the metrics in all files *.prom of a directory. None is an error.
func (k Known) scrapes(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*.prom"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("dashboards: no *.prom in %s (%w)", dir, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("dashboards: %w", err)
		}
		p := expfmt.NewTextParser(model.UTF8Validation)
		families, err := p.TextToMetricFamilies(strings.NewReader(string(text)))
		if err != nil {
			return fmt.Errorf("dashboards: %s: %w", name, err)
		}
		for _, f := range families {
			k.family(f)
		}
	}
	return nil
}

// family adds a metric with its labels, and which of them are empty in all or some of its
// series.
func (k Known) family(f *dto.MetricFamily) {
	empty := Labels{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName())
			if l.GetValue() == "" {
				empty[l.GetName()] = true
			}
		}
		k.add(f.GetName(), strings.ToLower(f.GetType().String()), labels...)
	}
	if s, ok := k[f.GetName()]; ok {
		s.empty = empty
		k[f.GetName()] = s
	}
}

var documented = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([^|]*) \\|")

// docs adds the metrics in the tables of a page of documentation. None is an error.
func (k Known) docs(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("dashboards: %w", err)
	}
	rows := documented.FindAllStringSubmatch(string(text), -1)
	if len(rows) == 0 {
		return fmt.Errorf("dashboards: no table of metrics in %s", file)
	}
	for _, row := range rows {
		var labels []string
		for l := range strings.SplitSeq(row[3], ",") {
			labels = append(labels, strings.Trim(l, " `"))
		}
		k.add(row[1], row[2], labels...)
	}
	return nil
}

// rules adds the recorded series, with the labels that their expressions leave,
// and ALERTS, with the labels of all alerts. A recorded series may be made of
// others, so it goes by the order of the files twice.
func (k Known) rules(dir string) error {
	all, err := rules.Load(dir)
	if err != nil {
		return fmt.Errorf("dashboards: %w", err)
	}
	alerts := labelsOf("alertname", "alertstate")
	for range 2 {
		for _, r := range all {
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				return fmt.Errorf("dashboards: %s%s: %w", r.Record, r.Alert, err)
			}
			left := k.labels(expr, func(string, ...any) {})
			if r.Record != "" {
				own := maps.Clone(left)
				if own != nil {
					maps.Copy(own, given(r.Labels))
				}
				k[r.Record] = Series{Type: "gauge", Labels: own, expr: expr}
				continue
			}
			maps.Copy(alerts, left)
			maps.Copy(alerts, given(r.Labels))
		}
	}
	k["ALERTS"] = Series{Type: "gauge", Labels: alerts, empty: Labels{"app": true, "mysql": true, "redis": true}}
	k["ALERTS_FOR_STATE"] = k["ALERTS"]
	return nil
}

// given returns the names of a set of labels.
func given(labels map[string]string) Labels {
	out := Labels{}
	for l := range labels {
		out[l] = true
	}
	return out
}
