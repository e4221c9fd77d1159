package collectors

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

var mysqlAppQueryFamily = gauge("mysql_app_query_seconds", "Run time of the longest-running statement that concerns the apps: it belongs to a user of their pools, waits for a lock, or is one of many long statements. A dump by another user does not count.", "mysql")

const (
	// holdersFrom is the share of max_connections in use from which on the state has
	// the users that hold connections.
	holdersFrom = 0.9
	// maxHolders is the maximum number of such users, maxHolderText the maximum length
	// of a name in bytes.
	maxHolders    = 3
	maxHolderText = 64
)

// addQueryTime adds the metric of the oldest statement that concerns the apps, and sets
// in the state the age of the oldest that several requests wait for. A single long
// statement, such as a dump, delays no app. waits has the threads that wait for locks.
func (l *mysqlRead) addQueryTime(threads []mysql.Thread, waits map[uint64]bool) {
	var blocking, own time.Duration
	var apps []time.Duration
	for i := range threads {
		t := &threads[i]
		if t.Own || !isClientStatement(t) {
			continue
		}
		if waits[t.ID] {
			blocking = max(blocking, t.Time)
		}
		switch _, known := l.Users[t.User]; {
		case strings.HasPrefix(t.State, "Writing to net"), strings.HasPrefix(t.State, "Sending to client"):
			// It waits for its client to read the result, as a dump does.
		case len(l.Users) == 0:
			apps = append(apps, t.Time)
		case known:
			apps = append(apps, t.Time)
			own = max(own, t.Time)
		}
	}
	shared := max(blocking, sharedDuration(apps))
	l.server.SharedQuery = model.Known(shared.Seconds())
	l.set(&l.server.AppQuery, mysqlAppQueryFamily, max(shared, own).Seconds(), l.Name)
}

// isClientStatement reports whether a thread runs a statement of a client, not one of
// replication or the event scheduler.
func isClientStatement(t *mysql.Thread) bool {
	return (t.Command == "Query" || t.Command == "Execute") && t.User != "system user" && t.User != "event_scheduler"
}

// sharedDuration returns for how long at least a quarter of these statements, and at least
// two, have been running; 0 for fewer than two. It sorts running.
func sharedDuration(running []time.Duration) time.Duration {
	if len(running) < 2 {
		return 0
	}
	slices.SortFunc(running, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	return running[max(2, (len(running)+3)/4)-1]
}

// addHolders sets in the state the three users, with their hosts, that have most
// connections if at least 90 % of max_connections are in use; else nothing.
func (l *mysqlRead) addHolders(threads []mysql.Thread) {
	open, limit := l.server.Connections, l.server.MaxConnections
	if open == nil || limit == nil || *limit <= 0 || *open < holdersFrom**limit {
		return
	}
	by := make(map[[2]string]*model.Holder)
	for i := range threads {
		t := &threads[i]
		if t.Own || t.Command == "Daemon" || t.User == "system user" || t.User == "event_scheduler" {
			continue
		}
		host := t.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		key := [2]string{cleanName(t.User), cleanName(host)}
		if by[key] == nil {
			by[key] = &model.Holder{User: key[0], Host: key[1], App: l.Users[t.User]}
		}
		by[key].Connections++
		if t.Command == "Sleep" {
			by[key].Asleep++
		}
	}
	list := make([]model.Holder, 0, len(by))
	for _, h := range by {
		list = append(list, *h)
	}
	slices.SortFunc(list, func(a, b model.Holder) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), strings.Compare(a.User, b.User), strings.Compare(a.Host, b.Host))
	})
	l.server.Holders = list[:min(len(list), maxHolders)]
}

// cleanName returns a user or host name, which clients choose, as printable text: "?" for
// any other character, and "…" after 64 bytes.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxHolderText {
		s = strings.ToValidUTF8(s[:maxHolderText], "") + "…"
	}
	return s
}
