// Package views tells in which view an app loses memory: from the growth of its workers
// between two moments without a request, and from the requests that samples have shown in
// between. It is pure: it reads nothing and has no clock.
package views

import (
	"math/bits"
	"time"
)

const (
	// ageBins is how many classes of ages there are; the first is for less than
	// youngest, each further one for twice as much.
	ageBins  = 15
	youngest = time.Millisecond
)

// Ages counts samples in which requests of a view were seen, by the age that they had.
type Ages [ageBins]uint32

// Add counts that a sample has seen a request of that age.
func (a *Ages) Add(age time.Duration) { a[min(bits.Len64(uint64(max(age, 0)/youngest)), ageBins-1)]++ }

// add adds the counts of o.
func (a *Ages) add(o *Ages) {
	for i := range a {
		a[i] += o[i]
	}
}

// enoughAged is how many samples of young requests the rate of requests is told from.
const enoughAged = 40

// perLook returns how many requests begin per second, times the number of looks that
// counted the ages; false if none below 8 s was counted, or fewer than 40 and than half of
// all. It is the density of ages near 0, through which every request passes, also those
// that end before a sample sees them.
func (a *Ages) perLook() (float64, bool) {
	sum, all := 0.0, 0.0
	for _, n := range a {
		all += float64(n)
	}
	edge := youngest.Seconds()
	for i := range ageBins - 1 {
		sum += float64(a[i])
		if sum > 0 && sum >= min(enoughAged, all/2) {
			return sum / edge, true
		}
		edge *= 2
	}
	return 0, false
}

// View is what samples of one worker have shown of one view.
type View struct {
	Name     string
	Requests uint64 // that were seen in it
	Ages     Ages   // of those whose start is known
}

// Seen is what samples of one worker have shown since they were last taken.
type Seen struct {
	Looks uint64 // samples that read the stack of each thread with a request
	Views []View
}
