package web_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

// adviceOn returns the lines under "What to do", and the banner's sentence.
func adviceOn(t *testing.T, s *model.State) (lines []string, banner string) {
	t.Helper()
	page := get(t, serve(options(s)), "/").Body.String()
	_, rest, _ := strings.Cut(page, "<h2>What to do</h2>")
	list, _, _ := strings.Cut(rest, "</ol>")
	for _, m := range regexp.MustCompile(`(?m)<li>(.*)</li>$`).FindAllStringSubmatch(list, -1) {
		lines = append(lines, m[1])
	}
	return lines, regexp.MustCompile(`<div><p>([^<]*)</p>`).FindStringSubmatch(page)[1]
}

// heldUp sets so many apps whose bottleneck is a Redis, without a chain.
func heldUp(n int) *model.State {
	s := webtest.Many(n, n, moment)
	s.Chains = nil
	for i := range s.Bottlenecks {
		b := &s.Bottlenecks[i]
		b.Cause, b.Peer, b.Chain = model.CauseRedis, "redis:cache", nil
	}
	return s
}

// The advice repeats no sentence of the banner, is there once for several apps, and names
// them unless there is one.
func TestAdvice(t *testing.T) {
	redis := cause.Advice(&model.Bottleneck{Cause: model.CauseRedis, Peer: "redis:cache"})
	for name, c := range map[string]struct {
		s    *model.State
		want string // the first line begins so
		all  int    // lines; the workers have advice of their own without a chain
	}{
		"one app, a chain":    {webtest.Workers(4, moment), "End connection 812", 1},
		"two apps, one chain": {webtest.Many(2, 2, moment), "app00: End connection 812", 1},
		"one app, no chain":   {heldUp(1), redis, 3},
		"two apps":            {heldUp(2), "app00 and app01: " + redis, 5},
		"thirty apps":         {heldUp(30), "app00, app01, app02, app03 and 26 more: " + redis, 8},
	} {
		lines, banner := adviceOn(t, c.s)
		if len(lines) != c.all || !strings.HasPrefix(lines[0], c.want) {
			t.Errorf("%s: %q, want %q", name, lines, c.want)
		}
		if !strings.Contains(banner, " is held up by ") || strings.Contains(strings.Join(lines, " "), " is held up by ") {
			t.Errorf("%s: banner %q, advice %q", name, banner, lines)
		}
	}
}

// A line of a sick app has its cause first, and not its name again.
func TestWhyOfLines(t *testing.T) {
	page := get(t, serve(options(webtest.Many(5, 5, moment))), "/").Body.String()
	whys := regexp.MustCompile(`<span class="why">([^<]*)</span>`).FindAllStringSubmatch(page, -1)
	if len(whys) != 3 {
		t.Fatalf("%d lines say why", len(whys))
	}
	for _, m := range whys {
		if !strings.HasPrefix(m[1], "held up by a lock in MySQL main; ") || strings.Contains(m[1], "app0") {
			t.Errorf("%q", m[1])
		}
	}
}
