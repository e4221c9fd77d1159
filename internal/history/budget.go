package history

import "time"

// The bytes that the new rows of one app may take in a segment: so many at once, and so
// many more a second. An app whose views or lines are different ones in each request
// cannot fill the history of the others with them.
const (
	detailBurst = 64 << 10
	detailRate  = 1 << 10
	maxBudgets  = 1024 // apps of a segment
)

// budget is how many bytes for new rows each app has left.
type budget struct {
	left   map[string]int
	filled time.Time
}

// newBudget returns a budget in which no app has spent anything.
func newBudget() budget { return budget{left: make(map[string]int)} }

// refill adds to each app's budget the bytes for the time since the last call, up to
// detailBurst. After a clock that is set back it adds nothing.
func (b *budget) refill(at time.Time) {
	seconds := at.Sub(b.filled).Seconds()
	b.filled = at
	if seconds <= 0 {
		return
	}
	more := int(min(seconds, detailBurst/detailRate) * detailRate)
	for app, n := range b.left {
		b.left[app] = min(n+more, detailBurst)
	}
}

// spend charges an app's budget the largest size that a new row can have, in bytes.
// false: too little of it is left, or there are too many apps; nothing is charged then.
func (b *budget) spend(r *Request) bool {
	left, ok := b.left[r.App]
	switch {
	case !ok && len(b.left) >= maxBudgets:
		return false
	case !ok:
		left = detailBurst
	}
	cost := len(r.View) + len(r.Peer) + len(r.Line.Function) + len(r.Line.File) + len(r.Digest) + 40
	if r.Blocker != nil {
		cost += len(r.Blocker.View) + len(r.Blocker.Line.Function) + len(r.Blocker.Line.File) + 40
	}
	if left < cost {
		b.left[r.App] = left
		return false
	}
	b.left[r.App] = left - cost
	return true
}
