package fleet

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

const shipped = "../../../rules"

func loaded(t *testing.T) *recording {
	t.Helper()
	r, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestText(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(r.text(nil, 3, time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(families["resp_app_workers"].GetMetric()); n != 4 || len(r.series) < 600 {
		t.Errorf("%d states of workers, %d series", n, len(r.series))
	}
}

// TestValues checks that counters grow on every host, and that every illness is seen in
// the values of a host.
func TestValues(t *testing.T) {
	t.Parallel()
	r := loaded(t)
	grows := map[string]bool{}
	for i := range r.series {
		s := &r.series[i]
		for _, host := range []int{0, 7, 37} {
			a, b := s.at(host, 50*time.Hour), s.at(host, 51*time.Hour)
			if s.counter && b < a {
				t.Errorf("%s falls from %v to %v on host %d", s.key, a, b, host)
			}
			grows[s.name()] = grows[s.name()] || s.counter && b > a
		}
	}
	for _, name := range []string{"resp_http_requests_total", "resp_worker_wait_seconds_total", "resp_heal_webhook_requests_total"} {
		if !grows[name] {
			t.Errorf("%s does not grow", name)
		}
	}
	ill := map[illness]int{}
	for host := range 600 {
		ill[illnessOf(host)]++
	}
	if ill[healthy] != 580 || len(ill) != int(illnesses) {
		t.Errorf("600 hosts: %v", ill)
	}
	for kind := 1; kind < int(illnesses); kind++ {
		host, differs := 7+30*(kind-1), ""
		for i := range r.series {
			s := &r.series[i]
			a, b := s.rateOf(host)/loadOf(host), s.rateOf(0)/loadOf(0)
			v, w := 0.0, 0.0
			if a/b > 1.01 || a > 0 && b == 0 || s.ill(host, &v) != s.ill(0, &w) {
				differs += s.name() + " "
			}
		}
		if differs == "" && illness(kind) != exporterDown {
			t.Errorf("host %d with the illness %d is like a healthy one", host, kind)
		}
	}
}

// TestLookbacks checks how far the shipped rules look back, and that the past has each
// recorded series that they read for longer than an hour.
func TestLookbacks(t *testing.T) {
	t.Parallel()
	all, err := rules.Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	far, err := lookbacks(all)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Duration{
		"instance_app:resp_http_errors:avg2m_rate5m": 72 * time.Hour, "resp_http_requests_total": time.Hour, "resp_up": time.Hour,
		"resp_app_threads": 5 * time.Hour, "resp_worker_info": -look,
	} {
		if far[name] != want+look {
			t.Errorf("the rules look %s back at %s, want %s", far[name]-look, name, want)
		}
	}
	known := map[string]bool{}
	for _, m := range loaded(t).memories(all) {
		known[m.name] = true
	}
	for name, d := range far {
		if strings.Contains(name, ":") && d > time.Hour+look && !known[name] {
			t.Errorf("the rules look %s back at %s, and the past does not have it", d, name)
		}
	}
}

// TestRun makes a small fleet: Prometheus finds the past, scrapes all hosts, and evaluates
// all rules.
func TestRun(t *testing.T) {
	t.Parallel()
	o := Options{Hosts: 2, Rules: shipped, Warm: 20 * time.Second, Time: 2 * time.Second}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	costs := map[string]float64{}
	for _, c := range r.Costs {
		costs[c.Rule] = c.Samples
	}
	if read := costs["instance_app:resp_http_errors:ratio_rate3d"]; r.Up != 2 || r.Failed != 0 || read < 2*2*2100 || read > 2*2*2200 {
		t.Errorf("%.0f hosts answer, %.0f evaluations failed, three days are %.0f samples", r.Up, r.Failed, read)
	}
}
