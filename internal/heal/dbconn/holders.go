package dbconn

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Holder is the app and the worker that hold the client's end of a connection.
type Holder struct {
	App    string // a watched app of this host; "": none, or unknown
	Worker string // the slot of its worker; "": of none, or of several
}

// Holders are the holders of connections to one database, from the sockets of this host.
type Holders interface {
	// Of returns the holder of the connection whose client the database reports as
	// host, "10.0.0.7:41872". Both ends of the socket must match.
	Of(host string) Holder
	// Incomplete returns why not all connections of an app are known; "": they are.
	Incomplete(app string) string
}

// FindHolders reads the connections of apps to a server of the section
// mysql; without a name, for those of all watched apps.
type FindHolders func(ctx context.Context, server string, apps ...string) (Holders, error)

// Selector selects connections of a server by their holder.
type Selector struct {
	App           string // that holds the connections; "": any
	IncludeUnheld bool   // those too whose holder is unknown
	holders       Holders
	twice         map[string]bool // what the server calls several clients
}

// WithHolders returns the selector with the holders of all apps. list is all connections
// of the server, read before. A client name that several of them have has no holder: they
// are at two of its ports, or it reports one name for two addresses.
func (w Selector) WithHolders(ctx context.Context, of FindHolders, server string, list []mysql.Connection) (Selector, error) {
	seen := make(map[string]bool, len(list))
	w.twice = make(map[string]bool)
	for i := range list {
		if seen[list[i].Host] {
			w.twice[list[i].Host] = true
		}
		seen[list[i].Host] = true
	}
	return w.readHolders(ctx, of, server)
}

// Refresh returns the selector with the holders that [Selector.Selects] needs, read anew:
// of one app only, unless connections without a known holder are included. With an error it
// is as it was.
func (w Selector) Refresh(ctx context.Context, of FindHolders, server string) (Selector, error) {
	if w.App != "" && !w.IncludeUnheld {
		return w.readHolders(ctx, of, server, w.App)
	}
	return w.readHolders(ctx, of, server)
}

// readHolders returns the selector with the holders of a server's connections; as it is if
// there is no function that finds them, or with an error.
func (w Selector) readHolders(ctx context.Context, of FindHolders, server string, only ...string) (Selector, error) {
	if of == nil {
		return w, nil // no holder is known
	}
	holders, err := of(ctx, server, only...)
	if err != nil {
		return w, fmt.Errorf("find the holders of the connections: %w", err)
	}
	w.holders = holders
	return w, nil
}

// Selects reports whether the holder of a connection is the app that is selected, or is not
// known and such are included. Without an app every connection is selected.
func (w Selector) Selects(c mysql.Connection) bool {
	h := w.Holder(c)
	return w.App == "" || h.App == w.App || h.App == "" && w.IncludeUnheld
}

// Holder returns the holder of a connection; the zero Holder if it is not known, and
// before [Selector.WithHolders].
func (w Selector) Holder(c mysql.Connection) Holder {
	if w.holders == nil || w.twice[c.Host] {
		return Holder{}
	}
	return w.holders.Of(c.Host)
}

// WhyIncomplete returns why not all of the app's connections are known, also that no
// holders were read; "" if they are.
func (w Selector) WhyIncomplete() string {
	if w.holders == nil {
		return "holders of connections are not read"
	}
	return w.holders.Incomplete(w.App)
}

// Unheld reports whether no watched app is known to hold a connection.
func (w Selector) Unheld(c mysql.Connection) bool { return w.Holder(c).App == "" }

// HoldingApps returns the watched apps that hold some of the connections, sorted, each
// once.
func (w Selector) HoldingApps(list []mysql.Connection) (out []string) {
	for _, c := range list {
		if h := w.Holder(c); h.App != "" && !slices.Contains(out, h.App) {
			out = append(out, h.App)
		}
	}
	slices.Sort(out)
	return out
}

// RefuseUnheld returns the refusal for n leaked connections, none of which is known to be
// held by the app.
func (w Selector) RefuseUnheld(n int) action.Refusal {
	why := cmp.Or(w.WhyIncomplete(), "they belong to another process or host, or use a UNIX socket, a proxy or an address other than that of the dsn")
	return action.Refuse(action.CodeUnheld, "%d connections are leaked, but none of them is known to belong to a process of app %s on this host: %s", n, w.App, why)
}

// SameDatabase reports whether two names of the section mysql lead to one server, by what
// the servers report. me is a session on the first. An error means that it is not known.
func SameDatabase(ctx context.Context, x, y string, db func(name string) Database, me Session) (bool, error) {
	if x == y {
		return true, nil
	}
	other := db(y)
	if other == nil {
		return false, fmt.Errorf("mysql %s is not in the configuration", y)
	}
	s, err := other.Session(ctx)
	if err != nil {
		return false, fmt.Errorf("mysql %s: %w", y, err)
	}
	defer s.Close()
	return s.Server() == me.Server(), nil
}
