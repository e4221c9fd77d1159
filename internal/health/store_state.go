package health

import (
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// mysqlServer returns a MySQL server; nil if it was not read.
func (e *evaluator) mysqlServer(name string) *model.MySQLServer {
	i := slices.IndexFunc(e.State.MySQL, func(s model.MySQLServer) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &e.State.MySQL[i]
}

// redisServer returns a Redis server; nil if it was not read.
func (e *evaluator) redisServer(name string) *model.RedisServer { return redisServer(e.State, name) }

func redisServer(s *model.State, name string) *model.RedisServer {
	i := slices.IndexFunc(s.Redis, func(r model.RedisServer) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Redis[i]
}

// isDown reports whether a server was read and did not answer; false if it was not read.
func (e *evaluator) isDown(kind, name string) bool {
	if kind == "mysql" {
		s := e.mysqlServer(name)
		return s != nil && !s.Up
	}
	s := e.redisServer(name)
	return s != nil && !s.Up
}

// isFull reports whether a MySQL server has no connection left; false also if it was not read.
func (e *evaluator) isFull(name string) bool {
	s := e.mysqlServer(name)
	return s != nil && s.Full
}

// adviseStore returns the advice for a server that does not answer.
func (e *evaluator) adviseStore(kind, word, name string) adviser {
	detail, late := "", e.reason(kind) == "timeout"
	if l := e.lackOf(kind, name); l != nil {
		detail, late = l.Short, l.Reason == "timeout"
	}
	return func(since time.Duration) []advice {
		line := word + " " + name + " did not answer at the last check"
		if since > 0 {
			line = fmt.Sprintf("%s %s has not answered for %s", word, name, FormatSeconds(since.Seconds()))
		}
		if detail != "" {
			line += " (" + detail + ")"
		}
		if late {
			line += ": if it accepts connections but does not answer, find out what blocks it, or restart it."
		} else {
			line += ": check that it runs and that its address and login are correct."
		}
		return []advice{{rankRoot, kind + ":" + name, line}}
	}
}
