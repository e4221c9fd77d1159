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

// Reserve reserves a name for an identity, so that no other user's app inherits it. If
// its account has as many as the bound, 64 for one other than root's, it drops the oldest
// of them; else, if there are MaxReserved in all, the oldest of the account that has most,
// which is root's only for a name of root. If no account has more than this one, it
// reserves nothing.
func (all Reservations) Reserve(name string, r Reservation) {
	if _, again := all[name]; again {
		all[name] = r
		return
	}
	bound := MaxReserved
	if r.Owner != 0 {
		bound = maxOthersReserved
	}
	by := all.accounts()
	switch mine := by[r.Owner]; {
	case mine.names >= bound:
		delete(all, mine.oldest)
	case len(all) >= MaxReserved:
		most := mine
		for owner, a := range by {
			if (owner != 0 || r.Owner == 0) && a.names > most.names {
				most = a
			}
		}
		if most.oldest == mine.oldest && r.Owner != 0 {
			return
		}
		delete(all, most.oldest)
	}
	all[name] = r
}

// account is how many names an account has reserved, and the oldest of them.
type account struct {
	names  int
	oldest string
}

// accounts returns what each account has reserved.
func (all Reservations) accounts() map[procfs.Account]account {
	out := make(map[procfs.Account]account)
	for name, r := range all {
		a, seen := out[r.Owner]
		if !seen || r.Since.Before(all[a.oldest].Since) {
			a.oldest = name
		}
		a.names++
		out[r.Owner] = a
	}
	return out
}

// IsFree reports whether an app may bear a name: the name is not reserved, or is for this
// identity. An app that differs only by where it listens may bear it after 24 hours.
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
