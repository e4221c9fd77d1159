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
	ageBins  = 13
	youngest = 4 * time.Millisecond
)

// Ages counts samples in which requests of a view were seen, by the age that they had.
type Ages [ageBins]uint32

// Add counts a sample of a request of that age.
func (a *Ages) Add(age time.Duration) { a[min(bits.Len64(uint64(max(age, 0)/youngest)), ageBins-1)]++ }

// add adds what others have counted.
func (a *Ages) add(o *Ages) {
	for i := range a {
		a[i] += o[i]
	}
}

// enoughAged is how many samples of young requests the rate of requests is told from.
const enoughAged = 40

// perLook returns the requests that begin in a second, times the number of looks at which
// the ages were counted; false: none was. Requests of any duration have an age near 0 at
// their begin, so that the density of ages at 0 is their rate, also of those that are
// mostly over before a sample sees them.
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
