package collectors_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
)

func TestHostGolden(t *testing.T) { golden(t, collectors.NewHost("testdata/host")) }

// With an earlier reading of the CPU the golden file is complete.
func TestHostGoldenSecondReading(t *testing.T) {
	dir := writeHostTree(t, map[string]string{"meminfo": hostMeminfo})
	synctest.Test(t, func(t *testing.T) {
		h := collectors.NewHost(dir)
		hostCPU(t, h, dir, 1000, 1000)
		time.Sleep(5 * time.Second)
		line := "cpu  1300 0 0 1100 0 0 0 0 0 0\n"
		if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		goldenAs(t, h, "host_second")
	})
}

// writeHostTree writes files below a new directory and returns its path.
func writeHostTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const hostMeminfo = "MemTotal: 1000 kB\nMemAvailable: 250 kB\n"

// hostCPU returns the published CPU usage of one scrape with the CPU's line at busy and
// idle ticks; NaN without one.
func hostCPU(t *testing.T, h *collectors.Host, dir string, busy, idle int) float64 {
	t.Helper()
	line := fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\ncpu0 1 2 3 4\n", busy, idle)
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := h.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rs := facts(s)
	if v, ok := rs.Get("resp_host_memory_usage_ratio"); !ok || v != 0.75 {
		t.Errorf("memory %v %v, want 0.75", v, ok)
	}
	if v, ok := rs.Get("resp_host_cpu_usage_ratio"); ok {
		return v
	}
	return math.NaN()
}

func TestHostCPUOverTheLastMinute(t *testing.T) {
	dir := writeHostTree(t, map[string]string{"meminfo": hostMeminfo})
	absent := math.NaN()
	synctest.Test(t, func(t *testing.T) {
		h := collectors.NewHost(dir)
		for i, step := range []struct {
			after      time.Duration
			busy, idle int
			want       float64
		}{
			{0, 1000, 1000, absent},                      // nothing to compare with
			{500 * time.Millisecond, 1010, 1040, absent}, // too close
			{500 * time.Millisecond, 1050, 1050, 0.5},
			{0, 1050, 1050, 0.5},                        // a second scrape at the same moment
			{29 * time.Second, 1050, 3000, 50.0 / 2050}, // since the first
			{30 * time.Second, 1050, 6000, 50.0 / 5050}, // a minute: still since the first
			{time.Second, 2050, 6000, 1000.0 / 5950},    // since the third
			{10 * time.Minute, 2150, 6100, 0.5},         // a long gap: since the last before it
			{time.Minute, 2000, 6200, absent},           // a counter went back
			{time.Minute, 2100, 6200, 1},
		} {
			time.Sleep(step.after)
			got := hostCPU(t, h, dir, step.busy, step.idle)
			if math.IsNaN(got) != math.IsNaN(step.want) || math.Abs(got-step.want) > 1e-9 {
				t.Errorf("step %d: %v, want %v", i, got, step.want)
			}
		}
	})
}

func TestHostKeepsABoundedPast(t *testing.T) {
	dir := writeHostTree(t, map[string]string{"meminfo": hostMeminfo})
	synctest.Test(t, func(t *testing.T) {
		h := collectors.NewHost(dir)
		for i := range 300 {
			got := hostCPU(t, h, dir, 30*i, 70*i)
			if i >= 4 && math.Abs(got-0.3) > 1e-9 {
				t.Fatalf("reading %d: %v, want 0.3", i, got)
			}
			time.Sleep(250 * time.Millisecond)
		}
		if h.Kept() < 60 || h.Kept() > 62 {
			t.Errorf("%d readings kept, want about one a second for a minute", h.Kept())
		}
	})
}

func TestHostFailures(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		metrics int
		reason  collectors.Reason
	}{
		"no procfs":         {nil, 0, collectors.NotFound},
		"no MemAvailable":   {map[string]string{"meminfo": "MemTotal: 1 kB\n", "stat": "cpu  1 2 3 4\n"}, 0, collectors.Unsupported},
		"no stat":           {map[string]string{"meminfo": hostMeminfo}, 1, collectors.NotFound},
		"broken stat":       {map[string]string{"meminfo": hostMeminfo, "stat": "cpu x\n"}, 1, collectors.Failed},
		"broken meminfo":    {map[string]string{"meminfo": "MemTotal: x kB\n", "stat": "cpu  1 2 3 4\n"}, 0, collectors.Failed},
		"empty stat":        {map[string]string{"meminfo": hostMeminfo, "stat": ""}, 1, collectors.Failed},
		"stat without line": {map[string]string{"meminfo": hostMeminfo, "stat": "cpu  1 2 3 4"}, 1, collectors.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := collectors.NewHost(writeHostTree(t, c.files)).Collect(t.Context())
			if reason, detail := collectors.ReasonOf(err); reason != c.reason || len(s.Metrics) != c.metrics {
				t.Errorf("%s (%s) with %d metrics, want %s with %d", reason, detail, len(s.Metrics), c.reason, c.metrics)
			}
		})
	}
}

func TestParseCPULine(t *testing.T) {
	for in, want := range map[string][2]uint64{
		"cpu  1 2 4 8 16 32 64 128 256 512\n": {1 + 2 + 4 + 32 + 64 + 128, 255},
		"cpu 1 2 4 8\n":                       {7, 15},
		"cpu  1 2 4 8 16\ncpu0 1 1 1 1\n":     {7, 31},
	} {
		busy, total, err := collectors.ParseCPULine([]byte(in))
		if err != nil || busy != want[0] || total != want[1] {
			t.Errorf("%q: %d of %d, %v, want %v", in, busy, total, err, want)
		}
	}
}

func FuzzParseCPULine(f *testing.F) {
	f.Add([]byte("cpu  1 2 4 8 16 32 64 128 256 512\ncpu0 1\n"))
	f.Add([]byte("cpu  9223372036854775807 2 3 4\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		busy, total, err := collectors.ParseCPULine(b)
		if err != nil && (busy != 0 || total != 0) {
			t.Error("a value beside an error")
		}
	})
}

// TestHostReal reads this machine.
func TestHostReal(t *testing.T) {
	h := collectors.NewHost("/proc")
	if _, err := h.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1050 * time.Millisecond)
	s, err := h.Collect(t.Context())
	if err != nil || len(s.Metrics) != 2 {
		t.Fatalf("%+v, %v", facts(s), err)
	}
	for _, r := range facts(s) {
		least, most := 0.0, 1.0
		if r.Name == "page.host_memory_bytes" {
			least, most = 64e6, 1e15
		}
		if !(r.Value >= least && r.Value <= most) {
			t.Errorf("%s is %v", r.Name, r.Value)
		}
	}
}

func BenchmarkHost(b *testing.B) { benchHostCollect(b, collectors.NewHost("/proc")) }

func BenchmarkPressure(b *testing.B) {
	benchHostCollect(b, collectors.NewPressure("testdata/pressure"))
}

func BenchmarkDisk(b *testing.B) { benchHostCollect(b, collectors.NewDisk("/proc", "/")) }

func benchHostCollect(b *testing.B, c collectors.Collector) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
