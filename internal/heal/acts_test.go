package heal_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// The acts on a target are known after a restart and a reload: from the journal, also those
// of a run that was interrupted. A run without an act is not among them.
func TestActsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := section(func(h *config.Healing) {
			h.Rules[0].Cooldown = 0
			h.Rules[0].Steps = h.Rules[0].Steps[:1]
			h.Breaker.Failures = 100
		})
		var did []time.Time
		alerts := 0
		run := func(b *harness) {
			t.Helper()
			alerts++
			if got := b.take(firing("pod", strconv.Itoa(alerts), "cause", strconv.Itoa(alerts))); got != "queued" {
				t.Fatal(got)
			}
			b.wait(2 * time.Minute)
			if !slices.EqualFunc(b.first.acts, did, time.Time.Equal) {
				t.Errorf("run %d knows of %v, want %v", alerts, b.first.acts, did)
			}
			if r := b.last(); r.Done > 0 {
				did = append(did, r.Applied)
			}
		}
		b := start(t, dir, h, nil)
		run(b)
		b.first.applyErr, b.first.done, b.first.outcome = errors.New("it works again"), 0, []action.Outcome{action.Unchanged}
		run(b) // nothing was done
		run(b)
		b.first.applyErr, b.first.done = nil, 3
		run(b) // it did not help, and it was done
		b.stop()

		b = start(t, dir, h, nil)
		run(b)
		apply, err := b.Prepare(h, b.build)
		if err != nil {
			t.Fatal(err)
		}
		apply()
		run(b)
		if len(did) != 4 {
			t.Errorf("done at %v", did)
		}
		b.first.apply = func(ctx context.Context) { <-ctx.Done() } // the exporter ends in the middle
		b.take(firing("pod", "last"))
		b.wait(time.Second)
		did = append(did, b.last().Applied)
		b.stop()

		for range 2 { // looked after at the first start, ended at the second
			b = start(t, dir, h, func(b *harness) { b.first.outcome = []action.Outcome{action.Unchanged} })
			b.wait(5 * time.Minute)
			run(b)
			b.stop()
		}
	})
}
