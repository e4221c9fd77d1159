package collectors_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/resp-exporter/resp-exporter/collectors"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// golden collects c once and compares every metric with testdata/<name>.prom.
// It fails on a metric that Descs does not list, on labels that differ within
// a family, and on names that the naming rules refuse. An error of Collect
// fails it too, unless it is a [collectors.Unavailable].
func golden(t *testing.T, c collectors.Collector) { t.Helper(); goldenAs(t, c, c.Name()) }

// goldenAs is golden with another file name, for a second state of the same
// collector: goldenAs(t, c, "process_no_permission").
func goldenAs(t *testing.T, c collectors.Collector, name string) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(adapter{t, c}); err != nil {
		t.Fatalf("register: %v", err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	for _, p := range problems {
		t.Errorf("lint: %s: %s", p.Metric, p.Text)
	}
	file := filepath.Join("testdata", name+".prom")
	if *update {
		writeGolden(t, reg, file)
	}
	want, err := os.Open(file)
	if err != nil {
		t.Fatalf("%v (write it with: go test ./collectors -run '^%s$' -update)", err, t.Name())
	}
	defer func() { _ = want.Close() }()
	if err := testutil.GatherAndCompare(reg, want); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

func writeGolden(t *testing.T, g prometheus.Gatherer, file string) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	var out bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatalf("encode %s: %v", f.GetName(), err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// adapter is a Collector as a prometheus.Collector.
type adapter struct {
	t *testing.T
	c collectors.Collector
}

func (a adapter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range a.c.Descs() {
		ch <- d
	}
}

func (a adapter) Collect(ch chan<- prometheus.Metric) {
	s, err := a.c.Collect(context.Background())
	var u *collectors.Unavailable
	if err != nil && !errors.As(err, &u) {
		a.t.Errorf("collect: %v", err)
	}
	checkStateMatchesSeries(a.t, s)
	for _, m := range s.Metrics {
		ch <- m
	}
}
