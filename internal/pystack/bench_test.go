package pystack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// BenchmarkLook is a look at a thread that waits in its 22nd frame, each of another
// function, with all code known.
func BenchmarkLook(b *testing.B) {
	source := "import os, sys\n"
	for i := range 20 {
		source += fmt.Sprintf("def f%d(x):\n    y = x + 1\n    if y:\n        return f%d(y)\n", i, i+1)
	}
	source += "def f20(x):\n    print(os.getpid(), flush=True)\n    sys.stdin.read()\nf0(1)\n"
	file := filepath.Join(b.TempDir(), "bench.py")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, python := range pystacktest.Pythons(b) {
		b.Run(filepath.Base(python), func(b *testing.B) {
			py := start(b, python, file)
			var pid int
			read(b, py, &pid)
			p := open(b, pid)
			var s pystack.Stack
			eventually(b, func() string {
				if out := p.Look(pid, &s); out != pystack.OK || !s.Frozen || len(s.Frames) != 22 {
					return string(out)
				}
				return ""
			})
			measure(b, "moved", p, pid, true)
			measure(b, "still", p, pid, false)
		})
	}
}

// measure benchmarks reads of a thread that runs between them, or (as far as can be seen)
// does not.
func measure(b *testing.B, name string, p *pystack.Process, pid int, moved bool) {
	b.Run(name, func(b *testing.B) {
		var s pystack.Stack
		b.ReportAllocs()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		began := procfs.ThreadTime()
		for b.Loop() {
			if moved {
				pystack.Moved(p, pid)
			}
			if out := p.Look(pid, &s); out != pystack.OK || len(s.Frames) != 22 {
				b.Fatal(out, len(s.Frames))
			}
		}
		b.ReportMetric(float64(procfs.ThreadTime()-began)/float64(b.N), "cpu-ns/op")
	})
}
