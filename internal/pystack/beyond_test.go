package pystack_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// Of more threads than are read, those that are left out are not said to run no Python
// code.
func TestBeyond(t *testing.T) {
	t.Parallel()
	const program = `
import threading, sys
begun = threading.Semaphore(0)
def wait():
    begun.release()
    threading.Event().wait()
threading.stack_size(65536)
for _ in range(N):
    threading.Thread(target=wait, daemon=True).start()
    begun.acquire()
print('{"last": %d}' % threading.enumerate()[-1].native_id, flush=True)
wait()
`
	py := start(t, debian, "-c", "N = 530\n"+program)
	var out struct{ Last int }
	read(t, py, &out)
	p := open(t, py.PID())
	var s pystack.Stack
	eventually(t, func() string {
		if got := p.Look(py.PID(), &s); got != pystack.Beyond || len(s.Frames) != 0 {
			return "main thread: " + string(got)
		}
		return ""
	})
	eventually(t, func() string {
		if got := p.Look(out.Last, &s); got != pystack.OK || len(s.Frames) == 0 {
			return "the last thread: " + string(got)
		}
		return ""
	})
	if p.Stats().ThreadsBeyond == 0 {
		t.Error("nothing is counted as left out")
	}
}
