package app

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/dbconn"
)

// The bounds of looking up the names by which a server reports its clients.
const (
	clientNameLimit = time.Second
	maxClientNames  = 20
)

// holders are the connections of watched apps to one MySQL server at one moment.
type holders struct {
	byPort map[uint16][]conns.Connection // by the port of the client's end
	snap   *discovery.Snapshot
	errs   map[string]error
	names  map[string][]netip.Addr // that were looked up
	lookup func(name string) []netip.Addr
}

// holdersOf implements [dbconn.FindHolders] by the apps' connections now; an error: they cannot be read.
func (a *parts) holdersOf(ctx context.Context, server string, apps ...string) (dbconn.Holders, error) {
	cfg := a.config.Load()
	isServer := func(component string) bool {
		name, ok := strings.CutPrefix(component, "mysql:")
		return ok && cfg.SameMySQL(name, server)
	}
	held, err := a.watcher.ConnectionsNow(ctx, isServer, apps...)
	if err != nil {
		return nil, err
	}
	snap, err := a.watcher.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	h := newHolders(held, snap, isServer)
	h.lookup = func(name string) []netip.Addr {
		ctx, cancel := context.WithTimeout(ctx, clientNameLimit)
		defer cancel()
		addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", name) // nil for an unknown name
		return addrs
	}
	return h, nil
}

// newHolders returns the connections for which the process at the other end can be
// proven: TCP connections that lead to the server's own addresses.
func newHolders(held *conns.Sample, snap *discovery.Snapshot, isServer func(component string) bool) *holders {
	h := &holders{byPort: make(map[uint16][]conns.Connection), snap: snap, errs: held.Errs, names: make(map[string][]netip.Addr)}
	for _, c := range held.List {
		if c.Proven && c.Local.IsValid() && isServer(c.Component) {
			h.byPort[c.Local.Port()] = append(h.byPort[c.Local.Port()], c)
		}
	}
	return h
}

// Of implements [dbconn.Holders]. It has no holder without a port, without a fitting connection,
// or where two apps hold what may be the connection; and no worker where two of one app do.
func (h *holders) Of(host string) dbconn.Holder {
	name, text, err := net.SplitHostPort(host)
	if err != nil {
		if i := strings.LastIndexByte(host, ':'); i > 0 { // "::1:41872"
			name, text = host[:i], host[i+1:]
		}
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return dbconn.Holder{} // through a UNIX socket: the server reports no end of it
	}
	var out dbconn.Holder
	for _, c := range h.byPort[uint16(port)] {
		if !h.fits(name, c.Local.Addr()) {
			continue
		}
		slot, _ := slotOf(h.snap, c.App, c.PID)
		switch {
		case out.App == "":
			out = dbconn.Holder{App: c.App, Worker: slot}
		case out.App != c.App:
			return dbconn.Holder{}
		case out.Worker != slot:
			out.Worker = ""
		}
	}
	return out
}

// fits reports whether a client that the server calls name has that address; false for a name beyond maxClientNames.
func (h *holders) fits(name string, local netip.Addr) bool {
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return addr.Unmap().WithZone("") == local
	}
	if name == "localhost" || strings.HasPrefix(name, "localhost.") {
		return local.IsLoopback()
	}
	addrs, known := h.names[name]
	if !known && len(h.names) < maxClientNames && h.lookup != nil {
		for _, a := range h.lookup(name) {
			addrs = append(addrs, a.Unmap().WithZone(""))
		}
		h.names[name] = addrs
	}
	return slices.Contains(addrs, local)
}

// Incomplete implements [dbconn.Holders]: why the connections are not all known; "": they are.
func (h *holders) Incomplete(app string) string {
	up := slices.ContainsFunc(h.snap.Apps, func(a discovery.App) bool { return a.Name == app && a.Up })
	switch err := h.errs[app]; {
	case !up:
		return "no process of the app was found on this host"
	case errors.Is(err, fs.ErrPermission):
		return "reading its connections needs its user, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
	case err != nil:
		return err.Error()
	}
	return ""
}

// isWatched reports whether an app is configured or discovered; false if the processes
// cannot be read.
func (a *parts) isWatched(ctx context.Context, name string) bool {
	if slices.ContainsFunc(a.configuredApps(), func(c config.App) bool { return c.Name == name }) {
		return true
	}
	snap, err := a.watcher.Snapshot(ctx)
	return err == nil && slices.ContainsFunc(snap.Apps, func(x discovery.App) bool { return x.Name == name })
}

func (a *parts) configuredApps() []config.App { return a.config.Load().Apps }

// slotOf returns the slot of an app's worker by its pid; false: it is none.
func slotOf(snap *discovery.Snapshot, app string, pid int) (slot string, ok bool) {
	for i := range snap.Apps {
		for j := range snap.Apps[i].Workers {
			if w := &snap.Apps[i].Workers[j]; snap.Apps[i].Name == app && w.PID == pid {
				return strconv.Itoa(w.Slot), true
			}
		}
	}
	return "", false
}
