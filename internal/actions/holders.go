package actions

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// Holder is who holds the client's end of a connection to a database.
type Holder struct {
	App    string // a watched app of this host; "": none is seen to
	Worker string // the slot of its worker; "": of none, or of several
}

// Holders are the client's ends of connections to one database, as the kernel
// of this host has them.
type Holders interface {
	// Of returns who holds the connection whose client the database reports as
	// host, "10.0.0.7:41872". Both ends of the socket must be those.
	Of(host string) Holder
	// Unseen returns why not all connections of an app are known; "": they are.
	Unseen(app string) string
}

// HoldersOf looks now for the connections of apps to a server of the section
// mysql; without a name, for those of all watched apps.
type HoldersOf func(ctx context.Context, server string, apps ...string) (Holders, error)

// whose decides which connections of a server an action may be about.
type whose struct {
	app      string // whose connections are meant; "": nobody's in particular
	unproved bool   // those too that nobody is seen to hold
	holders  Holders
}

// look reads the holders of all apps.
func (w whose) look(ctx context.Context, of HoldersOf, server string) (whose, error) {
	return w.lookAt(ctx, of, server)
}

// lookAgain reads the holders as far as meant takes them: of one app only where
// another app's need not be told from nobody's.
func (w whose) lookAgain(ctx context.Context, of HoldersOf, server string) (whose, error) {
	if w.app != "" && !w.unproved {
		return w.lookAt(ctx, of, server, w.app)
	}
	return w.lookAt(ctx, of, server)
}

func (w whose) lookAt(ctx context.Context, of HoldersOf, server string, only ...string) (whose, error) {
	if of == nil {
		return w, nil // nobody is seen to hold any
	}
	holders, err := of(ctx, server, only...)
	if err != nil {
		return w, fmt.Errorf("who holds the connections: %w", err)
	}
	w.holders = holders
	return w, nil
}

// meant reports whether a connection may be ended as far as its holder goes.
func (w whose) meant(c mysql.Connection) bool {
	h := w.holder(c)
	return w.app == "" || h.App == w.app || h.App == "" && w.unproved
}

// holder is nobody where it was not looked for.
func (w whose) holder(c mysql.Connection) Holder {
	if w.holders == nil {
		return Holder{}
	}
	return w.holders.Of(c.Host)
}

// unseen returns why not all of the app's connections are known; "": they are.
func (w whose) unseen() string {
	if w.holders == nil {
		return "nobody looks for them"
	}
	return w.holders.Unseen(w.app)
}

// nobodys reports whether nobody is seen to hold a connection.
func (w whose) nobodys(c mysql.Connection) bool { return w.holder(c).App == "" }

// apps lists the watched apps that hold some of the connections.
func (w whose) apps(list []mysql.Connection) (out []string) {
	for _, c := range list {
		if h := w.holder(c); h.App != "" && !slices.Contains(out, h.App) {
			out = append(out, h.App)
		}
	}
	slices.Sort(out)
	return out
}

// unprovedText returns why connections of whom nobody is seen to hold them are left
// alone; n is how many there are.
func (w whose) unprovedText(n int) string {
	why := cmp.Or(w.unseen(), "they are another process's or another host's, came through a UNIX socket or a proxy, or not by the address of the dsn")
	return fmt.Sprintf("%d connections are leaked, and none of them is held by a process of app %s as far as can be seen on this host: %s", n, w.app, why)
}

// sharedUser returns why connections whose holder is not known must not be ended
// by their user: pools of two apps have it on one server.
func sharedUser(ctx context.Context, r leakRule, apps []config.App, db func(name string) Database, me Session) string {
	for _, a := range apps {
		for _, p := range a.Pools {
			if a.Name == r.app || p.User != "" && !slices.Contains(r.users, p.User) {
				continue
			}
			same, err := sameDatabase(ctx, r.server, p.MySQL, db, me)
			switch {
			case err != nil:
				return fmt.Sprintf("app %s has a pool with the same user, and whether it is on the same server is not known: %s", a.Name, err)
			case same:
				return fmt.Sprintf("the user is app %s's too, on the same server: with clients: user their connections cannot be told apart", a.Name)
			}
		}
	}
	return ""
}

// sameDatabase reports whether two names of the section mysql lead to one
// server, by what the servers report; me is a session on the first.
func sameDatabase(ctx context.Context, x, y string, db func(name string) Database, me Session) (bool, error) {
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
