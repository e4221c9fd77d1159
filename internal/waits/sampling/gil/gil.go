// Package gil says which threads wait for the lock of a Python interpreter, and which
// one holds it, from samples of what they do. It is pure: it reads nothing and has no clock.
package gil

import (
	"math"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

// A thread that waits for the interpreter's lock wakes up each 5 ms, and has the lock
// for as long now and then: single samples do not show for how long it has waited.
// What counts is the part of the time, of which the last second weighs most.
const (
	memory = 500 * time.Millisecond // the weight of a sample falls to 1/e in that time
	begins = 0.5                    // from that part on a thread counts as waiting, and one as the holder
	ends   = 0.3                    // below that part no more
	none   = 0.05                   // below that part it does not wait at all
	// forgotten is how long after a thread was last seen waiting the holder is
	// forgotten.
	forgotten = 2 * time.Second
)

// Wait is the part of its time that a thread waits for the interpreter's lock.
type Wait struct {
	First time.Time // it has waited since then, on and off; zero: it does not
	Waits bool      // for most of the time

	share   float64
	started time.Time // of its request; zero: that is not known
}

// Add updates whether a thread waits for the lock (g.Waits, g.First) by a sample that
// stands for dt. It begins anew with each request; started is when that began.
func (g *Wait) Add(on ledger.On, started time.Time, dt time.Duration, now time.Time) {
	if !started.Equal(g.started) {
		*g = Wait{started: started}
	}
	switch {
	case on == ledger.Idle, on == ledger.Loop:
		*g = Wait{started: started}
		return
	case on == ledger.GIL:
		if g.First.IsZero() {
			g.First = now
		}
		g.share += (1 - g.share) * weight(dt)
	case g.First.IsZero():
		return
	default:
		g.share -= g.share * weight(dt)
	}
	switch {
	case g.share >= begins:
		g.Waits = true
	case g.share < none && on != ledger.GIL, g.Waits && g.share < ends:
		*g = Wait{started: started}
	}
}

// weight returns the weight of a sample that stands for dt in a mean that forgets: from 0
// to 1.
func weight(dt time.Duration) float64 { return 1 - math.Exp(-dt.Seconds()/memory.Seconds()) }

// Holder is the thread that has the interpreter's lock while others wait for it.
type Holder struct {
	TID    int       // 0: none was seen
	Since  time.Time // it has been seen with the lock since then
	share  float64   // of the samples in which others wait
	waited time.Time // when a thread was last seen waiting
}

// Rest records that no thread waits for the lock in a sample. It forgets the holder if
// none has waited lately.
func (h *Holder) Rest(now time.Time) {
	if h.TID != 0 && now.Sub(h.waited) > forgotten {
		*h = Holder{}
	}
}

// Add records that thread tid holds the lock in a sample that stands for dt, while
// another thread waits for it. tid 0: the holder is not known.
func (h *Holder) Add(tid int, dt time.Duration, now time.Time) {
	h.waited = now
	switch tid {
	case 0:
	case h.TID:
		h.share += (1 - h.share) * weight(dt)
	default:
		if h.share -= h.share * weight(dt); h.share < ends {
			*h = Holder{TID: tid, Since: now, share: weight(dt), waited: now}
		}
	}
}

// Known reports whether one thread, h.TID, has held the lock for most of the time lately.
func (h *Holder) Known() bool { return h.TID != 0 && h.share >= begins }
