package sampling

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/viewtime"
)

// accountView adds the time of a thread since the last sample with stacks to the view
// that it is in. runs is what its time on a processor counts as.
func (t *thread) accountView(on, runs ledger.On, now time.Time) {
	t.inViews.Add(&viewtime.Moment{
		At: now, On: on, Runs: runs, Run: t.times.Run, Delay: t.times.Delay, Waits: !t.call.Running,
		Socket: t.waitedFor(on), HasStack: t.hasStackNow(now), View: t.view, Started: t.stack.started,
	})
}

// hasStackNow reports whether the thread's last stack still holds in this sample: a
// thread that runs without a pause may be in another request by now.
func (t *thread) hasStackNow(now time.Time) bool {
	return t.hasStack() && (!t.call.Running || t.stack.at.Equal(now))
}
