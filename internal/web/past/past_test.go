package past_test

import (
	"encoding/json"
	"flag"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/history"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
	"github.com/resp-exporter/resp-exporter/internal/web/webtest"
)

var updateGolden = flag.Bool("update", false, "write the goldens anew")

var now = time.Date(2026, 1, 2, 9, 30, 5, 0, time.UTC)

// hostile is a name with markup, letters that are written from right to left, and more of
// them than anybody reads.
var hostile = "<b>\"'&</b>\u05d7\u05e0\u05d5\u05ea" + strings.Repeat("x", 200)

// empty is a history that is kept and has no sample.
type empty struct{ past.None }

func (empty) Kept() history.Kept { return history.Kept{MaxBytes: 16 << 20} }

func views(h past.History, spent *charts.Spent) *past.Views {
	return past.New(h, spent, func() time.Time { return now })
}

// made returns the views of a made-up past; text is in place of the names in it.
func made(text string) *past.Views {
	return views(webtest.Ended{Past: webtest.Past{Now: now, App: "shop"}, Text: text}, spentOf(2, 14, text))
}

// spentOf returns what so many views of shop spent their time on, in that many samples. The
// first view has a name.
func spentOf(samples, n int, name string) *charts.Spent {
	s := charts.NewSpent()
	for i := range samples {
		totals := webtest.Totals("shop", float64(i)*5)
		totals[0].Views = totals[0].Views[:n]
		if name != "" && n > 0 {
			totals[0].Views[0].Name = name
		}
		s.Record(now.Add(time.Duration(i)*5*time.Second), totals)
	}
	return s
}

// check compares views with the golden of a surface.
func check(t *testing.T, name string, views map[string]any) {
	t.Helper()
	out, err := json.MarshalIndent(views, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, name+".json", append(out, '\n'), *updateGolden)
}

func TestStrip(t *testing.T) {
	chosen := past.Asked{App: "shop", At: now.Add(-15 * time.Minute)}
	none, no := views(past.None{}, nil).Strip("shop", 4, chosen), views(empty{}, nil).Strip("shop", 4, chosen)
	if none != nil || no == nil || no.Empty == "" || len(no.Columns) != 0 {
		t.Errorf("without a history: %+v; without a sample: %+v", none, no)
	}
	s := made("").Strip("shop", 4, chosen)
	gaps, marked := 0, 0
	for i, c := range s.Columns {
		top := 56.0
		for _, p := range c.Parts { // from the ground, without holes
			from, size := float(t, p.From), float(t, p.Size)
			if from < -0.1 || from+size > top+0.1 || size < 0 {
				t.Errorf("column %d: %+v is not below %g", i, p, top)
			}
			top = from
		}
		if c.Gap {
			gaps++
		}
		if c.Chosen {
			marked++
		}
	}
	if len(s.Columns) != 60 || gaps != 6 || marked != 1 || s.Empty != "" {
		t.Errorf("%d columns, %d gaps, %d marked", len(s.Columns), gaps, marked)
	}
	few := *s
	few.Columns = s.Columns[4:8]
	check(t, "strip", map[string]any{"none": no, "many": few, "of another app": made("").Strip(hostile, 0, past.Asked{})})
}

func float(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMoment(t *testing.T) {
	at := past.Asked{App: "shop", At: now.Add(-15 * time.Minute)}
	for name, m := range map[string]*past.Moment{
		"no history":  views(past.None{}, nil).Moment("shop", at),
		"no time":     made("").Moment("shop", past.Asked{App: "shop"}),
		"another app": made("").Moment("blog", at),
	} {
		if m != nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
	late := made("").Moment("shop", past.Asked{App: "shop", At: now.Add(-20 * time.Second)})
	if n := len(late.Steps); n != 4 {
		t.Errorf("%d steps from 20 s ago: a later one would be in the future", n)
	}
	nobody := past.Asked{App: "blog", At: at.At}
	check(t, "moment", map[string]any{
		"nothing sampled": views(empty{}, nil).Moment("shop", at), "not then": made("").Moment("blog", nobody),
		"many": made("").Moment("shop", at), "hostile": made(hostile).Moment("shop", at),
	})
}

func TestSpent(t *testing.T) {
	for name, s := range map[string]*charts.Spent{"not known": nil, "no sample": charts.NewSpent(), "one sample": spentOf(1, 1, ""), "no view": spentOf(2, 0, "")} {
		if got := views(past.None{}, s).Spent("shop"); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	all := made("").Spent("shop")
	if len(all.Rows) != 10 || all.Hidden == "" {
		t.Errorf("%d rows, %q", len(all.Rows), all.Hidden)
	}
	for _, r := range all.Rows {
		end := 0.0
		for _, p := range r.Parts {
			if from := float(t, p.From); from < end-0.15 || p.Class == "" || p.Word == "" {
				t.Errorf("%s: %+v begins before %g", r.View, p, end)
			}
			end = float(t, p.From) + float(t, p.Size)
		}
		if end > 100.2 {
			t.Errorf("%s is %g wide", r.View, end)
		}
	}
	few := *all
	few.Rows = append(all.Rows[:2:2], all.Rows[9])
	check(t, "spent", map[string]any{"one": views(past.None{}, spentOf(2, 1, hostile)).Spent("shop"), "many": few})
}

// crowd is a past of many incidents and last words, in no order.
type crowd struct{ webtest.Past }

func (crowd) Incidents(limit int) (out []model.Incident) {
	for i := range limit {
		out = append(out, model.Incident{ID: strconv.Itoa(i), App: "shop", Start: now.Add(-time.Duration(i*7%limit) * time.Minute), End: now})
	}
	return out
}

func (crowd) LastWords(limit int) (out []model.LastWords) {
	for i := range limit {
		out = append(out, model.LastWords{App: "shop", Slot: strconv.Itoa(i), Ended: now.Add(-time.Duration(i*7%limit) * time.Minute), Reason: "exit"})
	}
	return out
}

func TestList(t *testing.T) {
	if l := views(past.None{}, nil).List(); len(l.Incidents)+len(l.Words) != 0 {
		t.Errorf("without a history: %+v", l)
	}
	l := views(crowd{webtest.Past{Now: now, App: "shop"}}, nil).List()
	if len(l.Incidents) != 8 || len(l.Words) != 8 {
		t.Fatalf("%d incidents, %d last words", len(l.Incidents), len(l.Words))
	}
	for i := range l.Incidents[1:] {
		if l.Incidents[i+1].Start.Machine > l.Incidents[i].Start.Machine || l.Words[i+1].Ended.Machine > l.Words[i].Ended.Machine {
			t.Errorf("%d: not the newest first", i)
		}
	}
	check(t, "list", map[string]any{
		"none": views(empty{}, nil).List(), "one ended": made("").List(), "one open": views(webtest.Past{Now: now, App: "shop"}, nil).List(), "hostile": made(hostile).List(),
	})
}

func TestAskedOf(t *testing.T) {
	for query, want := range map[string]string{ // "": refused
		"":                                "0001-01-01T00:00:00Z",
		"app=shop":                        "0001-01-01T00:00:00Z",
		"at=2026-01-02T09:15:30Z":         "2026-01-02T09:15:30Z",
		"at=2026-01-02T10:15:30%2B01:00":  "2026-01-02T09:15:30Z",
		"at=09:15":                        "2026-01-02T09:15:00Z",
		"at=09:31:00":                     "2026-01-01T09:31:00Z", // it has not been that late today
		"at=yesterday":                    "",
		"at=2026-13-02T09:15:30Z":         "",
		"at=%3Cb%3E":                      "",
		"app=" + strings.Repeat("x", 301): "",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := past.AskedOf(values, now)
		if (err != nil) != (want == "") || err == nil && got.At.Format(time.RFC3339) != want {
			t.Errorf("%.40s: %v, %v", query, got, err)
		}
	}
}

// Each cause, end and wait has words of its own; what is not known has some too.
func TestWords(t *testing.T) {
	for c, want := range map[model.Cause]string{"": "", "something": "an unknown cause", model.CauseDBLock: "a lock in MySQL main", model.CauseUpstream: "the upstream server MySQL main, which does not answer in time"} {
		if got := past.CauseText(c, "mysql:main"); got != want {
			t.Errorf("%q: %q, want %q", c, got, want)
		}
	}
	for peer, want := range map[string]string{
		"": "the upstream server", "10.0.0.9:443": "the upstream server 10.0.0.9:443", "[::1]:443": "the upstream server [::1]:443", "app:blog": "the app blog", "a.example:80": "the upstream server a.example:80",
	} {
		if got := past.CauseText(model.CauseUpstream, peer); got != want+", which does not answer in time" {
			t.Errorf("%q: %q, want %q", peer, got, want)
		}
	}
	words, classes := map[string]bool{}, map[string]bool{}
	for _, on := range ledger.All() {
		if on == ledger.Idle { // is never shown
			continue
		}
		word, class := past.OnWord(on.String()), past.OnClass(on.String())
		if word == "" || words[word] || class == "" || class != "on-other" && classes[class] {
			t.Errorf("%s: %q of class %q", on, word, class)
		}
		words[word], classes[class] = true, true
	}
	if word, class := past.OnWord(hostile), past.OnClass(hostile); word != "unknown" || class != "on-other" {
		t.Errorf("%q of class %q", word, class)
	}
}

// parts are words by size; what is too small to be written is left out beside others.
func TestPartWords(t *testing.T) {
	for want, values := range map[string][]float64{"": nil, "a <0.1": {0.01}, "b 2.9, a 0.3": {0.3, 2.9, 0.01}, "a 1, b 1": {1, 1}, "d 4, c 3, b 2": {1, 2, 3, 4}} {
		if got := past.PartWords(values, 3); got != want {
			t.Errorf("%v: %q, want %q", values, got, want)
		}
	}
}
