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
	// nearlyFull is the share of max_connections from which on it is noted who
	// holds connections.
	nearlyFull = 0.9
	// maxHolders bounds how many users are noted of a server that is full, and
	// maxHolderText how much of a name, in bytes.
	maxHolders    = 3
	maxHolderText = 64
)

// queryTime adds how long the statements have been running that concern the
// apps, and notes for the judgement how long those that more than one request
// waits for. One long statement by itself, such as a dump, holds nobody up.
func (l *mysqlLook) queryTime(threads []mysql.Thread, waits map[uint64]bool) {
	var held, own time.Duration
	var apps []time.Duration
	for i := range threads {
		t := &threads[i]
		if t.Own || !ofClient(t) {
			continue
		}
		if waits[t.ID] {
			held = max(held, t.Time)
		}
		switch _, known := l.Users[t.User]; {
		case strings.HasPrefix(t.State, "Writing to net"), strings.HasPrefix(t.State, "Sending to client"):
			// It has its answer, and waits for its client to read: a dump does.
		case len(l.Users) == 0:
			apps = append(apps, t.Time)
		case known:
			apps = append(apps, t.Time)
			own = max(own, t.Time)
		}
	}
	shared := max(held, ofMany(apps))
	l.server.SharedQuery = model.Known(shared.Seconds())
	l.set(&l.server.AppQuery, mysqlAppQueryFamily, max(shared, own).Seconds(), l.Name)
}

// ofClient reports whether a thread runs a statement of a client, and not one of
// replication or of the event scheduler.
func ofClient(t *mysql.Thread) bool {
	return (t.Command == "Query" || t.Command == "Execute") && t.User != "system user" && t.User != "event_scheduler"
}

// ofMany is how long at least one in four of some statements, and two of them,
// have been running; 0 where there are fewer than two.
func ofMany(running []time.Duration) time.Duration {
	if len(running) < 2 {
		return 0
	}
	slices.SortFunc(running, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	return running[max(2, (len(running)+3)/4)-1]
}

// holders notes who holds the connections of a server that has hardly any left.
func (l *mysqlLook) holders(threads []mysql.Thread) {
	open, places := l.server.Connections, l.server.MaxConnections
	if open == nil || places == nil || *places <= 0 || *open < nearlyFull**places {
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
		at := [2]string{plainName(t.User), plainName(host)}
		if by[at] == nil {
			by[at] = &model.Holder{User: at[0], Host: at[1], App: l.Users[t.User]}
		}
		by[at].Connections++
		if t.Command == "Sleep" {
			by[at].Asleep++
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

// plainName cuts and cleans a name that whoever logs in may have chosen.
func plainName(s string) string {
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
