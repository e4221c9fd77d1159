package pystack_test

import (
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// BenchmarkLook is a look at a thread that waits in its 22nd frame, with all code
// known.
func BenchmarkLook(b *testing.B) {
	for _, python := range pythons(b) {
		b.Run(filepath.Base(python), func(b *testing.B) {
			py := start(b, python, "-c", `
import os, time, sys
def f(n):
    if n:
        f(n - 1)
    else:
        print(os.getpid(), flush=True)
        sys.stdin.read()
f(20)
`)
			var pid int
			py.read(b, &pid)
			p := open(b, pid)
			var s pystack.Stack
			eventually(b, func() string {
				if out := p.Look(pid, &s); out != pystack.OK || !s.Frozen || len(s.Frames) != 22 {
					return string(out)
				}
				return ""
			})
			b.ReportAllocs()
			for b.Loop() {
				if out := p.Look(pid, &s); out != pystack.OK || len(s.Frames) != 22 {
					b.Fatal(out, len(s.Frames))
				}
			}
		})
	}
}
