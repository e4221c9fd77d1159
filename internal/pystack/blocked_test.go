package pystack_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// truth is one frame as the interpreter itself names it.
type truth struct {
	File, Function string
	Line           int
}

// UnmarshalJSON reads [file, function, line].
func (f *truth) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&f.File, &f.Function, &f.Line})
}

// differs returns the first difference between a stack and the truth.
func differs(s *pystack.Stack, want []truth) string {
	if s.Truncated {
		if len(s.Frames) != pystack.MaxFrames || len(want) <= pystack.MaxFrames {
			return fmt.Sprintf("truncated at %d of %d frames", len(s.Frames), len(want))
		}
		want = want[:pystack.MaxFrames]
	}
	if len(s.Frames) != len(want) {
		return fmt.Sprintf("%d frames, want %d", len(s.Frames), len(want))
	}
	for i, f := range s.Frames {
		if got := (truth{f.Code.File, f.Code.Function, f.Line}); got != want[i] {
			return fmt.Sprintf("frame %d is %v, want %v", i, got, want[i])
		}
	}
	return ""
}

// Threads that wait are seen exactly as the interpreter itself sees them, and
// each look is proven.
func TestBlocked(t *testing.T) {
	t.Parallel()
	for _, python := range pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			py := start(t, python, "testdata/blocked.py")
			var all struct{ Threads map[int][]truth }
			py.read(t, &all)
			if len(all.Threads) < 13 {
				t.Fatalf("%d threads", len(all.Threads))
			}
			p := open(t, py.pid())
			var s pystack.Stack
			truncated := 0
			for round := range 3 {
				for tid, want := range all.Threads {
					eventually(t, func() string {
						if out := p.Look(tid, &s); out != pystack.OK || !s.Frozen || s.State == 0 || s.Syscall < 0 {
							return fmt.Sprintf("thread %d, round %d: %s, frozen %v, state %#x, call %d", tid, round, out, s.Frozen, s.State, s.Syscall)
						}
						return differs(&s, want)
					})
					if s.Truncated {
						truncated++
					}
				}
			}
			if truncated == 0 || p.Stats().Truncated == 0 {
				t.Error("no stack was truncated")
			}
			t.Logf("%s %s", python, p.Version())
		})
	}
}
