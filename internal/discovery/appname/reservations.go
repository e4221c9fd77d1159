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
	// MaxReserved is how many names are reserved in all.
	MaxReserved       = 1024
	maxOthersReserved = 64 // of one account other than root's
)

// keptFor is how long a name is reserved against an app that differs only by
// where it listens.
const keptFor = 24 * time.Hour

// Reservations is the reserved names, each for its identity.
type Reservations map[string]Reservation

// Reserve keeps a name for its identity, so that no other user's app inherits it.
// Of more than 64 names of one account other than root's the oldest is dropped.
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

// IsFree reports whether an app may bear a name: it is not reserved, or reserved
// for this identity. An app that differs only by where it listens may bear it
// after 24 hours.
func (all Reservations) IsFree(name string, want Reservation) bool {
	r, ok := all[name]
	switch {
	case !ok:
		return true
	case r.Owner != want.Owner || r.Unit != "" && r.Unit != want.Unit:
		return false
	}
	return r.ID == want.ID || r.ID.WithoutBind() == want.ID.WithoutBind() && want.Since.Sub(r.Since) > keptFor
}
