package collectors_test

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/resp-exporter/resp-exporter/collectors"
)

func TestPressureGolden(t *testing.T) { golden(t, collectors.NewPressure("testdata/pressure")) }

func TestPressureNotes(t *testing.T) {
	s, err := collectors.NewPressure("testdata/pressure").Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rs := facts(s)
	for labels, want := range map[[2]string]float64{
		{"cpu", "some"}: 0.0225, {"cpu", "full"}: 0, {"memory", "some"}: 0.005, {"io", "some"}: 0.12, {"io", "full"}: 0.105,
	} {
		if v, ok := rs.Get("page.pressure_ratio", labels[0], labels[1]); !ok || v != want {
			t.Errorf("%v: %v %v, want %v", labels, v, ok, want)
		}
	}
}

func TestPressureFailures(t *testing.T) {
	const some = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
	for name, c := range map[string]struct {
		files   map[string]string
		metrics int
		reason  collectors.Reason
	}{
		"no PSI":                 {map[string]string{"stat": ""}, 0, collectors.Unsupported},
		"no memory":              {map[string]string{"pressure/cpu": some, "pressure/io": some}, 2, collectors.Unsupported},
		"no full (before 5.13)":  {map[string]string{"pressure/cpu": some, "pressure/io": some, "pressure/memory": some}, 3, collectors.OK},
		"a line not understood":  {map[string]string{"pressure/cpu": "some x\n", "pressure/io": some, "pressure/memory": some}, 2, collectors.Failed},
		"a new kind is left out": {map[string]string{"pressure/cpu": "more 1\n" + some, "pressure/io": some, "pressure/memory": some}, 3, collectors.OK},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := collectors.NewPressure(writeHostTree(t, c.files)).Collect(t.Context())
			if reason, detail := collectors.ReasonOf(err); reason != c.reason || len(s.Metrics) != c.metrics {
				t.Errorf("%s (%s) with %d metrics, want %s with %d", reason, detail, len(s.Metrics), c.reason, c.metrics)
			}
		})
	}
	if _, err := collectors.NewPressure("testdata/none").Collect(t.Context()); err == nil {
		t.Error("no procfs, no error")
	}
}

func TestPressureReasons(t *testing.T) {
	for want, err := range map[collectors.Reason]error{
		collectors.Unsupported: fmt.Errorf("read: %w", &os.PathError{Op: "read", Err: syscall.EOPNOTSUPP}),
		collectors.Permission:  fmt.Errorf("open: %w", fs.ErrPermission),
		collectors.Failed:      fmt.Errorf("read: %w", syscall.EIO),
	} {
		if got, detail := collectors.ReasonOf(collectors.PressureError(err)); got != want || detail == "" {
			t.Errorf("%v: %s (%s), want %s", err, got, detail, want)
		}
	}
}
