package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// store is one MySQL or Redis server of the configuration, in words.
type store struct {
	Kind, Name string
	Level      level
	Word       string // how well it is, or whether it answers
	Facts      []string
}

// storesOf returns the stores in the order of kind and name.
func storesOf(r *model.State, j *health.Judgement) []store {
	var out []store
	for _, x := range r.All("resp_up") {
		kind, name, ok := strings.Cut(label(x, 0), ":")
		if !ok || kind != "mysql" && kind != "redis" {
			continue
		}
		s := store{Kind: "MySQL", Name: name, Level: levelHealthy, Word: "answers"}
		if kind == "redis" {
			s.Kind = "Redis"
		}
		if l := j.Host.Part(kind, name); l > health.Healthy {
			s.Level, s.Word = levelOf(l), l.String()
		}
		switch {
		case x.Value != 1:
			s.Level, s.Word = levelCritical, "does not answer"
		case kind == "mysql":
			s.Facts = mysqlFacts(r, name)
		default:
			s.Facts = redisFacts(r, name)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b store) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return out
}

// facts collects what is known; what is not is left out.
type facts struct {
	r    *model.State
	name string
	list []string
}

func (f *facts) add(metric string, text func(v float64) string) {
	if v := get(f.r, metric, f.name); v != nil {
		f.list = append(f.list, text(*v))
	}
}

// count adds a number with its words, unless it is 0 and says nothing then.
func (f *facts) count(metric, one, many string, zeroToo bool) {
	if v := get(f.r, metric, f.name); v != nil && (zeroToo || *v != 0) {
		f.list = append(f.list, plural(*v, one, many))
	}
}

func mysqlFacts(r *model.State, name string) []string {
	f := facts{r: r, name: name}
	f.add("resp_mysql_connections", func(v float64) string {
		text := health.FormatCount(v)
		if most := get(r, "resp_mysql_max_connections", name); most != nil {
			text += " of " + health.FormatCount(*most)
		}
		return text + " connections"
	})
	f.count("resp_mysql_threads_running", "running", "running", true)
	longer := func(what string) func(float64) string {
		return func(v float64) string { return what + " " + health.FormatSeconds(v) }
	}
	f.add("resp_mysql_longest_query_seconds", longer("longest query"))
	f.add("resp_mysql_oldest_transaction_seconds", longer("oldest transaction"))
	f.count("resp_mysql_lock_waits", "waits for a lock", "wait for locks", false)
	f.add("resp_mysql_ping_seconds", longer("ping"))
	return f.list
}

func redisFacts(r *model.State, name string) []string {
	f := facts{r: r, name: name}
	f.add("resp_redis_memory_bytes", func(v float64) string {
		if most := get(r, "resp_redis_maxmemory_bytes", name); most != nil {
			return health.FormatBytes(v) + " of " + health.FormatBytes(*most)
		}
		return health.FormatBytes(v) + " of no limit"
	})
	f.add("page.redis_hit_ratio", func(v float64) string { return "hit rate " + health.FormatPercent(v) })
	f.count("resp_redis_connected_clients", "client", "clients", true)
	f.count("resp_redis_blocked_clients", "blocked", "blocked", false)
	f.add("resp_redis_ping_seconds", func(v float64) string { return "ping " + health.FormatSeconds(v) })
	return f.list
}
