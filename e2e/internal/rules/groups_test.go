package rules_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
)

var (
	longRange    = regexp.MustCompile(`\[(\w+)(:\w+)?\]`)
	recordedName = regexp.MustCompile(`^instance(_[a-z]+)?(_[a-z]+)?:resp_[a-z_]+:[a-z][a-z0-9_]*$`)
)

// TestGroups checks that rules that look back for long are evaluated seldom: at each
// scrape ten minutes of samples at most, an hour each minute, and what is longer each
// two minutes, from recorded series or by steps. An interval above two minutes would
// leave gaps for queries, which look back five.
func TestGroups(t *testing.T) {
	t.Parallel()
	all, err := rules.Load("../../../rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		name := r.Alert + r.Record
		most := map[time.Duration]time.Duration{0: 10 * time.Minute, time.Minute: time.Hour, 2 * time.Minute: 72 * time.Hour}[r.Interval]
		suffix := map[time.Duration]string{0: "", time.Minute: "-1m", 2 * time.Minute: "-2m"}[r.Interval]
		if base := "resp-" + strings.TrimSuffix(r.File, ".rules.yml"); most == 0 || r.Group != base+suffix {
			t.Errorf("%s is in the group %s with the interval %s, want %s without one, or %[4]s-1m or %[4]s-2m with it", name, r.Group, r.Interval, base)
		}
		if r.Record != "" && !recordedName.MatchString(r.Record) {
			t.Errorf("%s is not level:metric:operations", r.Record)
		}
		for _, m := range longRange.FindAllStringSubmatch(r.Expr, -1) {
			d, err := model.ParseDuration(m[1])
			if err != nil {
				t.Fatal(err)
			}
			if m[2] == "" && time.Duration(d) > most {
				t.Errorf("%s reads %s of samples each %s", name, m[1], r.Interval)
			}
			if m[2] == "" && time.Duration(d) > time.Hour && !strings.Contains(r.Expr, ":avg2m_") {
				t.Errorf("%s reads %s of the samples of each scrape", name, m[1])
			}
		}
	}
}
