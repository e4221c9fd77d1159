package collectors

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Unix(1000, 0)
	var w window
	if _, ok := w.growth(now, 7); ok {
		t.Error("growth out of nothing")
	}
	w.add(now, 100)
	if v, ok := w.growth(now, 100); ok {
		t.Errorf("growth %v since this very moment", v)
	}
	w.add(now.Add(time.Second), 101) // too soon: not kept
	if v, ok := w.growth(now.Add(2*time.Second), 103); !ok || v != 3 {
		t.Errorf("growth %v %v, want 3 since the first reading", v, ok)
	}
	for i := range 200 {
		w.add(now.Add(time.Duration(i)*5*time.Second), 100+float64(i))
	}
	if v, ok := w.growth(now.Add(1000*time.Second), 300); !ok || v < 60 || v > 62 {
		t.Errorf("growth %v %v, want that of five minutes", v, ok)
	}
	if v, _ := w.growth(now.Add(1000*time.Second), 0); v != 0 {
		t.Errorf("a counter that began anew shrank by %v", v)
	}
}
