// Package reserve says for which threads the CPU time is used that is kept for the stacks
// of long requests in samples that have no stacks. It is pure: it reads nothing and has no
// clock.
package reserve

import "time"

const (
	// Share is the divisor of the part of one core that is the reserve of all users.
	Share = 1000
	// Most is how much of it can be saved.
	Most = 2 * time.Millisecond
	// Period is how often the stack of a long request is read at most, and how old such a
	// request is.
	Period = time.Second
)

// Reserve is CPU time of one user for stacks in samples that have none for all that are due: the
// worker may be killed in its request, and what it did shall be known then. Which
// samples have stacks does not depend on it. The time of views is divided in these
// alone (see package viewtime), so it does not depend on the reserve either.
type Reserve struct {
	Left time.Duration
	Used time.Duration // in the sample under way
}

// Empty reports whether the current sample has used all the CPU time that was left.
func (r *Reserve) Empty() bool { return r.Used >= r.Left }

// Turn is when a thread has its turn. The zero value is that of one without a request.
type Turn struct {
	Busy time.Time // it has had requests without a pause since then; zero: it has none
	Kept time.Time // when the reserve was last used for its stack
}

// Note records whether a sample shows the thread with a request. It sets t.Busy to since
// when it has had one without a break; zero: it has none.
func (t *Turn) Note(busy bool, now time.Time) {
	switch {
	case !busy:
		t.Busy = time.Time{}
	case t.Busy.IsZero():
		t.Busy = now
	}
}

// Last returns when the stack of the thread was last seen or tried; if it never was in
// this request, when the request began. seen is when a stack was last believed; zero:
// never.
func (t *Turn) Last(seen time.Time) time.Time {
	last := t.Busy
	for _, x := range [...]time.Time{seen, t.Kept} {
		if x.After(last) {
			last = x
		}
	}
	return last
}

// Has reports whether the thread has a long request whose stack was neither seen nor
// tried for a second.
func (t *Turn) Has(seen, now time.Time) bool {
	return !t.Busy.IsZero() && now.Sub(t.Last(seen)) >= Period
}
