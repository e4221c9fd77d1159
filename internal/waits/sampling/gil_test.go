package sampling

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/share"
)

// A thread that gets the GIL for a moment now and then is reported as waiting for it, and
// the thread that holds it is named with its line, though it takes no requests.
func TestHolderOfTheGIL(t *testing.T) {
	t.Parallel()
	pid, start, _ := startPython(t, `import threading
print(1, flush=True)
def hold():
  while True:
    sum(range(40_000_000))
t = threading.Thread(target=hold, daemon=True)
t.start()
while t.is_alive():
  pass`)
	s := New(Options{ProcRoot: "/proc", SysRoot: "/sys", Settings: Settings{Rate: 20, Stacks: true}})
	t.Cleanup(s.closeAll)
	r := Registration{PID: pid, Start: start, App: "shop", Server: cmdline.Gunicorn, Sync: true, Known: true, InFlight: 1}
	var last []model.Thread
	until(t, "the holder", func() bool {
		last = s.Register(r)
		s.mu.Lock()
		save(s, share.MaxSavings)
		s.mu.Unlock()
		s.sample()
		if len(last) != 2 || last[0].On != "gil" || last[0].Seconds < 1.5 || last[0].GIL {
			return false
		}
		h := last[1]
		return h.Helper && h.GIL && !h.Main && h.TID != pid && h.On == "cpu" && h.Stack != nil && h.Stack.Inner.Function == "hold" && h.Stack.Inner.Line == 5
	})
	if ended := last[0].Seconds > time.Minute.Seconds(); ended {
		t.Errorf("%+v", last[0])
	}
}
