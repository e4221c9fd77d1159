package pystack_test

import (
	"fmt"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// Threads that wait are seen exactly as the interpreter itself sees them, and
// each look is proven.
func TestBlocked(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			py, err := pystacktest.StartBlocked(t.Context(), []string{python})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(py.Stop)
			var all pystacktest.Blocked
			read(t, py, &all)
			if len(all.Threads) < 14 {
				t.Fatalf("%d threads", len(all.Threads))
			}
			p := open(t, py.PID())
			var s pystack.Stack
			truncated := 0
			for round := range 3 {
				for tid, want := range all.Threads {
					eventually(t, func() string {
						if out := p.Look(tid, &s); out != pystack.OK || !s.Frozen || s.State == 0 || s.Syscall < 0 {
							return fmt.Sprintf("thread %d, round %d: %s, frozen %v, state %#x, call %d", tid, round, out, s.Frozen, s.State, s.Syscall)
						}
						return pystacktest.Differs(&s, want)
					})
					if s.Truncated {
						truncated++
					}
				}
			}
			if truncated == 0 || p.Stats().Truncated == 0 {
				t.Error("no stack was truncated")
			}
		})
	}
}

// Threads that move are never seen where they are not.
func TestMoving(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		for _, mode := range []string{"blocked", "alternating", "spinning"} {
			t.Run(python+"/"+mode, func(t *testing.T) {
				t.Parallel()
				const seed = 20261
				m, err := pystacktest.StartMoving(t.Context(), []string{python}, seed, mode, 2)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(m.Stop)
				p := open(t, m.PID())
				var s pystack.Stack
				believed := 0
				for i := range 600 {
					out, wrong := m.Look(p, i%len(m.Threads), &s)
					if wrong != "" {
						t.Fatalf("seed %d, look %d: %s", seed, i, wrong)
					}
					if out == pystack.OK {
						believed++
					}
				}
				t.Logf("%d believed", believed)
				if believed == 0 && mode != "spinning" {
					t.Error("nothing was believed")
				}
			})
		}
	}
}
