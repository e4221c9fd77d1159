package parts

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

// Store is one line about a configured server, or a part of an app.
type Store struct {
	Kind, Name string
	Level      display.Level
	Word       string // its level
	Facts      []string
}

// StoresOf returns a line about each MySQL and Redis server, by kind and name; one that is
// down is critical.
func StoresOf(s *model.State, j *health.Evaluation) []Store {
	out := make([]Store, 0, len(s.MySQL)+len(s.Redis))
	for i := range s.MySQL {
		m := &s.MySQL[i]
		x := storeOf("mysql", "MySQL", m.Name, j)
		if m.Up {
			x.Facts = mysqlFacts(m)
		} else {
			x.Level, x.Word, x.Facts = display.LevelCritical, display.LevelCritical.String(), []string{"does not answer"}
		}
		out = append(out, x)
	}
	for i := range s.Redis {
		r := &s.Redis[i]
		x := storeOf("redis", "Redis", r.Name, j)
		if r.Up {
			x.Facts = redisFacts(r)
		} else {
			x.Level, x.Word, x.Facts = display.LevelCritical, display.LevelCritical.String(), []string{"does not answer"}
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Store) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// storeOf returns the line about a server, still without facts. Its level is unknown if
// the server was not judged.
func storeOf(component, kind, name string, j *health.Evaluation) Store {
	s := Store{Kind: kind, Name: name, Level: display.LevelUnknown}
	if _, judged := j.Host.Components[component]; judged {
		s.Level = display.LevelOf(j.Host.Part(component, name))
	}
	s.Word = s.Level.String()
	return s
}

// mysqlFacts returns what is known of a MySQL server, one text each; waits for locks only
// if there are some.
func mysqlFacts(m *model.MySQLServer) []string {
	var w display.Facts
	w.Add(m.Connections, func(v float64) string {
		text := health.FormatCount(v)
		if m.MaxConnections != nil {
			text += " of " + health.FormatCount(*m.MaxConnections)
		}
		return text + " connections"
	})
	w.Add(m.ThreadsRunning, func(v float64) string { return text.Plural(v, "running", "running") })
	w.Add(m.LongestQuery, display.Lasting("longest query"))
	w.Add(m.OldestTransaction, display.Lasting("oldest transaction"))
	if v := m.LockWaits; v != nil && *v != 0 {
		w = append(w, text.Plural(*v, "waits for a lock", "wait for locks"))
	}
	w.Add(m.Ping, display.Lasting("ping"))
	return w
}

// redisFacts returns what is known of a Redis server, one text each; blocked clients only
// if there are some.
func redisFacts(r *model.RedisServer) []string {
	var w display.Facts
	w.Add(r.Memory, func(v float64) string {
		if r.MaxMemory != nil {
			return health.FormatBytes(v) + " of " + health.FormatBytes(*r.MaxMemory)
		}
		return health.FormatBytes(v) + ", no limit"
	})
	w.Add(r.HitRatio, func(v float64) string { return "hit rate " + health.FormatPercent(v) })
	w.Add(r.Clients, func(v float64) string { return text.Plural(v, "client", "clients") })
	if v := r.Blocked; v != nil && *v != 0 {
		w = append(w, text.Plural(*v, "blocked", "blocked"))
	}
	w.Add(r.Ping, display.Lasting("ping"))
	return w
}
