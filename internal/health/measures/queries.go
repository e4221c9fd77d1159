package measures

import "github.com/resp-exporter/resp-exporter/internal/model"

// Queries returns the long statements on a MySQL server in the order of the state, which
// has the longest first; nil if there is none.
func Queries(s *model.State, server string) []*model.Query {
	var out []*model.Query
	for i := range s.Queries {
		if q := &s.Queries[i]; q.Server == server {
			out = append(out, q)
		}
	}
	return out
}

// QueryOf returns the statement that a worker runs on a server; nil if none is known.
func QueryOf(s *model.State, server, app, slot string) *model.Query {
	if slot == "" {
		return nil
	}
	for i := range s.Queries {
		if q := &s.Queries[i]; q.Server == server && q.App == app && q.Slot == slot {
			return q
		}
	}
	return nil
}
