package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// failures returns the seconds between two failures of the task "fail".
func (e inside) failures(t *testing.T) (pauses []float64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(e.started), "locks.failed"))
	if err != nil {
		return nil
	}
	last := 0.0
	for i, line := range strings.Fields(string(text)) {
		at, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			pauses = append(pauses, at-last)
		}
		last = at
	}
	return pauses
}

// TestTaskCrashes checks that a background task that fails each time begins again after
// pauses that grow, that each restart is counted, and that requests are not slowed by it.
func TestTaskCrashes(t *testing.T) {
	t.Parallel()
	e := reporting(t, "-w", "1", "--threads", "4")
	var took []time.Duration
	eventually(t, 90*time.Second, func() error {
		for range 10 {
			began := time.Now()
			if status := e.get("/items/7"); status != http.StatusOK {
				t.Fatalf("status %d", status)
			}
			took = append(took, time.Since(began))
		}
		return wants("5 pauses", len(e.failures(t)) >= 5, true)
	})
	pauses := e.failures(t)
	t.Logf("pauses of %.1f s", pauses)
	grow := true
	for i, p := range pauses[1:] { // a thread may wake up late
		grow = grow && pauses[i] <= p+scaled(time.Second).Seconds()
	}
	if !grow || pauses[0] > scaled(10*time.Second).Seconds() || pauses[4] < 8 {
		t.Errorf("pauses of %.1f s, want some that double from one second", pauses)
	}
	slices.Sort(took)
	if p95 := took[len(took)*95/100]; len(took) < 100 || p95 > scaled(300*time.Millisecond) {
		t.Errorf("of %d requests 95 %% took %s at most", len(took), p95)
	}
	eventually(t, 20*time.Second, func() error {
		least := float64(len(e.failures(t))) // it goes on meanwhile
		restarts, _ := e.x.scrape(t).sum("resp_task_restarts_total", "app="+e.name, "task=fail")
		if restarts < least || restarts > least+2 {
			return fmt.Errorf("%v restarts, after %v failures", restarts, least+1)
		}
		return nil
	})
}
