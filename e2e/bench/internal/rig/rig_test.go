package rig_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
)

const body = `# HELP a_total A.
# TYPE a_total counter
a_total{outcome="parsed"} 30
a_total{outcome="unknown"} 1

b 1.5e+06
`

func TestSeries(t *testing.T) {
	if got := rig.Series([]byte(body)); got != 3 {
		t.Errorf("got %d series, want 3", got)
	}
}

func TestValue(t *testing.T) {
	for series, want := range map[string]float64{`a_total{outcome="parsed"}`: 30, `a_total{outcome="unknown"}`: 1, "b": 1.5e6} {
		if got, ok := rig.Value([]byte(body), series); !ok || got != want {
			t.Errorf("%s: got %v, %v; want %v", series, got, ok, want)
		}
	}
	for _, series := range []string{"a_total", "a", "c"} {
		if got, ok := rig.Value([]byte(body), series); ok {
			t.Errorf("%s: got %v, want none", series, got)
		}
	}
}

func TestCPUOfThisProcess(t *testing.T) {
	before, err := rig.CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		_ = strings.Repeat("x", 1000)
	}
	after, err := rig.CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after <= before {
		t.Errorf("CPU went from %v to %v in 20 ms of work", before, after)
	}
	if _, err := rig.CPU(0); err == nil {
		t.Error("pid 0 must be refused: its clock would be our own")
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	rss, highest, err := rig.Memory(os.Getpid())
	if err != nil || rss < 1<<20 || highest < rss/2 {
		t.Errorf("got %d, %d, %v", rss, highest, err)
	}
}

func TestFindSaysHow(t *testing.T) {
	_, err := rig.Find("no-such-program-here", "go install example.org/it@v1")
	if err == nil || !strings.Contains(err.Error(), "go install example.org/it@v1") {
		t.Errorf("got %v", err)
	}
}
