package actions

import (
	"context"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/handover"
)

// FillDisk lets each write of the journal fail with ENOSPC, until the function
// that it gives is called.
func (r *Runner) FillDisk() (free func()) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	j := r.store.journal
	r.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.out = full
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.out = j.file
		_ = full.Close()
	}
}

// ActsOf returns what a plan is told of what was done before.
func ActsOf(ctx context.Context, target string) []time.Time { return handover.ActsOf(ctx, target) }

// SetJournalSize sets after how many bytes the journal begins its next file.
func (r *Runner) SetJournalSize(n int64) {
	r.mu.Lock()
	j := r.store.journal
	r.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.size = n
}

// SetBudget sets how many acts the budget allows, and returns how many it allowed.
func (r *Runner) SetBudget(n int) (before int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set := *r.set
	before, set.Budgets.MaxRuns = set.Budgets.MaxRuns, n
	r.set = &set
	return before
}
