package charts_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/web/charts"
)

func view(name string, mysql, cpu float64) ledger.View {
	v := ledger.View{Name: name}
	v.Seconds[ledger.MySQL], v.Seconds[ledger.CPU] = mysql, cpu
	return v
}

// Views has the rates of the last five minutes, with views that came meanwhile.
func TestSpent(t *testing.T) {
	s := charts.NewSpent()
	start := time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)
	if v, over := s.Views("shop"); v != nil || over != 0 {
		t.Errorf("without a record: %v over %s", v, over)
	}
	for i := range 121 { // 10 minutes, one each 5 s
		views := []ledger.View{view("pay", float64(i)*10, float64(i)*2.5), view("idle", 0, 3)}
		if i > 90 {
			views = append(views, view("new", 0, float64(i-90)))
		}
		s.Record(start.Add(time.Duration(i)*5*time.Second), []ledger.AppTotals{{App: "shop", Views: views}})
		if v, over := s.Views("shop"); i == 1 && (over != 5*time.Second || len(v) != 1 || v[0].Seconds[ledger.MySQL] != 2) {
			t.Errorf("after 5 s: %+v over %s", v, over)
		}
	}
	v, over := s.Views("shop")
	if over != 5*time.Minute || len(v) != 2 || v[0].View != "pay" || v[1].View != "new" {
		t.Fatalf("%+v over %s", v, over)
	}
	if v[0].Seconds[ledger.MySQL] != 2 || v[0].Seconds[ledger.CPU] != 0.5 || v[0].Sum != 2.5 || math.Abs(v[1].Sum-0.1) > 1e-9 {
		t.Errorf("%+v", v)
	}
	if v, over := s.Views("blog"); v != nil || over != 0 {
		t.Errorf("of no app: %v over %s", v, over)
	}
	s.Record(start, []ledger.AppTotals{{App: "shop", Views: []ledger.View{view("pay", 1, 1)}}}) // the clock was set back
	if v, over := s.Views("shop"); v != nil || over != 0 {
		t.Errorf("after the clock was set back: %v over %s", v, over)
	}
}

// Totals that begin anew are not negative.
func TestSpentAfterForgotten(t *testing.T) {
	s := charts.NewSpent()
	at := time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)
	s.Record(at, []ledger.AppTotals{{App: "shop", Views: []ledger.View{view("pay", 900, 0)}}})
	s.Record(at.Add(10*time.Second), []ledger.AppTotals{{App: "shop", Views: []ledger.View{view("pay", 5, 0)}}})
	if v, _ := s.Views("shop"); len(v) != 1 || v[0].Sum != 0.5 {
		t.Errorf("%+v", v)
	}
}

func BenchmarkSpent(b *testing.B) {
	views := make([]ledger.View, ledger.MaxViews)
	for i := range views {
		views[i] = view(fmt.Sprint("v", i), float64(i), 1)
	}
	s := charts.NewSpent()
	at := time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)
	s.Record(at, []ledger.AppTotals{{App: "shop", Views: make([]ledger.View, 1)}})
	s.Record(at.Add(time.Second), []ledger.AppTotals{{App: "shop", Views: views}})
	b.ReportAllocs()
	for b.Loop() {
		if v, _ := s.Views("shop"); len(v) != ledger.MaxViews {
			b.Fatal(len(v))
		}
	}
}
