package appname

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Reservation is the name of an app that is no longer reported.
type Reservation struct {
	ID    ID
	Owner procfs.Account
	Unit  string
	Since time.Time
}

const (
	MaxReserved       = 1024 // names
	maxOthersReserved = 64   // of one account other than root's
)

// keptFor is how long the name of an app that is no longer reported is kept
// from one that differs only by where it listens.
const keptFor = 24 * time.Hour

// Reservations are the names that are kept, each for its identity.
type Reservations map[string]Reservation

// Reserve keeps the name of an app that is forgotten for its identity, so that
// another user never inherits it. Of one account other than root's the oldest of
// more than 64 is dropped.
func (all Reservations) Reserve(name string, r Reservation) {
	bound := MaxReserved
	if r.Owner != 0 {
		bound = maxOthersReserved
	}
	count, first := 0, ""
	for name, other := range all {
		if other.Owner == r.Owner {
			count++
			if first == "" || other.Since.Before(all[first].Since) {
				first = name
			}
		}
	}
	switch {
	case count >= bound:
		delete(all, first)
	case len(all) >= MaxReserved:
		return
	}
	all[name] = r
}

// MayBear reports whether a name is free for an app: it is kept for nobody, or
// for its identity. What differs from that only by where it listens may have it
// after keptFor.
func (all Reservations) MayBear(name string, want Reservation) bool {
	r, ok := all[name]
	switch {
	case !ok:
		return true
	case r.Owner != want.Owner || r.Unit != "" && r.Unit != want.Unit:
		return false
	}
	return r.ID == want.ID || r.ID.But() == want.ID.But() && want.Since.Sub(r.Since) > keptFor
}
