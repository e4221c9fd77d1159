package health_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	for i, x := range []struct{ got, want string }{
		{health.Exact(1234567.5), "1,234,567.5"}, {health.Exact(0), "0"},
		{health.FormatBytes(0), "0 B"}, {health.FormatBytes(999.4), "999 B"}, {health.FormatBytes(999.5), "1 kB"}, {health.FormatBytes(1000), "1 kB"},
		{health.FormatBytes(999499), "999 kB"}, {health.FormatBytes(999500), "1 MB"}, {health.FormatBytes(-2e9), "-2 GB"}, {health.FormatBytes(-1), "-1 B"},
		{health.FormatBytes(3e12), "3 TB"}, {health.FormatBytes(4e15), "4 PB"}, {health.FormatBytes(5e18), "5,000 PB"},
		{health.FormatSeconds(61), "1 min 1 s"},
		{health.FormatPercent(0), "0 %"}, {health.FormatPercent(0.0004), "<0.1 %"}, {health.FormatPercent(-0.0004), "<0.1 %"}, {health.FormatPercent(0.0005), "0.1 %"}, {health.FormatPercent(0.5), "50 %"},
		{health.FormatCount(2048), "2048"}, {health.FormatCount(9999), "9999"}, {health.FormatCount(-9999), "-9999"}, {health.FormatCount(10000), "10,000"}, {health.FormatCount(10001), "10,001"}, {health.FormatCount(2.5), "2.5"},
		{health.FormatRate(0), "0/s"}, {health.FormatRate(0.04), "<0.1/s"}, {health.FormatRate(0.05), "0.1/s"}, {health.FormatRate(-0.01), "0/s"}, {health.FormatRate(41), "41/s"},
	} {
		if x.got != x.want {
			t.Errorf("%d: got %q, want %q", i, x.got, x.want)
		}
	}
}

// A level is its word in JSON, in both directions.
func TestLevelText(t *testing.T) {
	t.Parallel()
	for level, word := range map[health.Level]string{health.Healthy: "healthy", health.Warning: "warning", health.Critical: "critical"} {
		b, err := json.Marshal(level)
		var back health.Level
		if err != nil || string(b) != `"`+word+`"` || json.Unmarshal(b, &back) != nil || back != level {
			t.Errorf("%d: %s, %v, back %d", int(level), b, err, int(back))
		}
	}
	for _, word := range []string{"", "Healthy", "level 3", "warn"} {
		level := health.Critical
		if err := level.UnmarshalText([]byte(word)); err == nil || level != health.Critical {
			t.Errorf("%q: %v, %v", word, level, err)
		}
	}
}

func TestWaitText(t *testing.T) {
	t.Parallel()
	if got := health.WaitText(nil); got != "" {
		t.Errorf("no wait: %q", got)
	}
	w := model.AppWorkers{Workers: []model.Worker{
		{Slot: "0", Wait: &model.Wait{On: "mysql", Peer: "mysql:main"}}, {Slot: "1"}, {Slot: "2", Wait: &model.Wait{On: "other"}}, {Slot: "3", Wait: &model.Wait{On: "sleep"}},
	}}
	want := map[string]string{"0": health.WaitText(w.Workers[0].Wait), "3": health.WaitText(w.Workers[3].Wait)}
	if got := health.WaitsFor(&w); !maps.Equal(got, want) || want["0"] == "" || want["3"] == "" || want["0"] == want["3"] {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The details of what a collector lacks are listed once each, 20 at most; the others are counted.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 19, 20, 21, 25} {
		s := model.State{Lacks: []model.Lack{{Collector: "other", Detail: "x"}, {Collector: "pss", Detail: "y", Optional: true}, {Collector: "pss"}}}
		var want []string
		for i := range n {
			detail := fmt.Sprint("d", i)
			s.Lacks = append(s.Lacks, model.Lack{Collector: "pss", Detail: detail}, model.Lack{Collector: "pss", Detail: "d0"}, model.Lack{Collector: "pss", Detail: detail})
			if i < 20 {
				want = append(want, detail)
			}
		}
		got := strings.Split(health.Missing(&s, "pss"), "; ")
		if n == 0 {
			want = []string{""}
		}
		if n <= 20 && strings.Join(got, "|") != strings.Join(want, "|") || n > 20 && (len(got) != 21 || !strings.Contains(got[20], fmt.Sprint(n-20))) {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestCountIn(t *testing.T) {
	t.Parallel()
	n := model.WorkerCounts{Busy: 1, Idle: 2, Stuck: 3, Booting: 4}
	for state, want := range map[string]float64{"busy": 1, "idle": 2, "stuck": 3, "booting": 4, "": 0, "other": 0} {
		if got := health.CountIn(&n, state); got != want {
			t.Errorf("%q: got %v, want %v", state, got, want)
		}
	}
}
