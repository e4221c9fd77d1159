// Package fleet makes many exporters out of the recording of one, scrapes them with a real
// Prometheus that has the shipped rules, and measures what the rules cost.
package fleet

import (
	"bufio"
	"compress/gzip"
	"embed"
	"fmt"
	"hash/fnv"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// recorded holds two scrapes of the exporter of `make demo` without faults, apart seconds
// one after the other: one app with four workers, MariaDB, Redis, RQ and healing.
//
//go:embed recorded/*.gz
var recorded embed.FS

const apart = 60 * time.Second

// series is one of the recording.
type series struct {
	key     string // as a scrape has it: name{labels}
	labels  labels.Labels
	counter bool
	whole   bool    // integers only
	value   float64 // at the end of the recording
	rate    float64 // of a counter, a second
	varies  bool    // a gauge that changed between the scrapes
	seed    uint64
}

// name returns the name of the series' metric.
func (s *series) name() string { return s.labels.Get(model.MetricNameLabel) }

// recording is what one exporter publishes.
type recording struct {
	series []series
	types  map[string]string // of families
}

// load reads the two scrapes.
func load() (*recording, error) {
	first, _, err := scrape("recorded/first.prom.gz")
	if err != nil {
		return nil, err
	}
	last, types, err := scrape("recorded/last.prom.gz")
	if err != nil {
		return nil, err
	}
	before := map[string]float64{}
	for _, s := range first {
		before[s.key] = s.value
	}
	r := &recording{types: types}
	p := parser.NewParser(parser.Options{})
	for _, s := range last {
		if s.labels, err = p.ParseMetric(s.key); err != nil {
			return nil, fmt.Errorf("recording: %s: %w", s.key, err)
		}
		was, there := before[s.key]
		s.counter, s.whole, s.seed = r.counts(s.name()), s.value == math.Trunc(s.value), seedOf(s.key)
		switch {
		case s.counter && there:
			s.rate = max(0, s.value-was) / apart.Seconds()
		case !s.counter:
			s.varies = there && was != s.value
		}
		r.series = append(r.series, s)
	}
	return r, nil
}

// counts reports whether the values of a name only grow.
func (r *recording) counts(name string) bool {
	switch r.types[name] {
	case "counter":
		return true
	case "":
	default:
		return false
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, part); ok && (r.types[base] == "histogram" || r.types[base] == "summary") {
			return true
		}
	}
	return false
}

// scrape reads the samples of a scrape, with their key and value only, and the types.
func scrape(name string) (out []series, types map[string]string, err error) {
	f, err := recorded.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	types = map[string]string{}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		line := lines.Text()
		if words := strings.Fields(line); len(words) == 4 && words[0] == "#" && words[1] == "TYPE" {
			types[words[2]] = words[3]
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %q: %w", name, line, err)
		}
		out = append(out, series{key: line[:at], value: v})
	}
	return out, types, lines.Err()
}

// seedOf returns a seed that depends only on the text.
func seedOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}
