package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// The bounds of what belongs to one app.
const (
	maxParts   = 10 // of one kind
	maxQueues  = 50
	maxPerPool = 10_000 // connections of one worker process
	maxPrefix  = 128    // bytes
	maxQueue   = 128    // bytes
	maxTask    = 48     // bytes of a task inside of an app
)

// Pool is one connection pool of an app, as each of its worker processes has
// one of its own. The defaults are those of SQLAlchemy.
type Pool struct {
	Name  string `yaml:"name" want:"1 to 64 letters, digits or . _ : @ - /"`
	MySQL string `yaml:"mysql" want:"the name of a server in the section mysql"`
	// Whose connections; "": everybody's.
	User string `yaml:"user,omitempty" want:"the name of a user of the server"`
	// Connections that a worker process keeps; 1 to 10000.
	Size int `yaml:"size" want:"a whole number from 1 to 10000"`
	// And how many more it may open; -1: any number.
	MaxOverflow int `yaml:"max_overflow" want:"a whole number from 0 to 10000, or -1 for no limit"`
	// A connection asleep in a transaction for longer is leaked; 1s or more.
	LeakAfter time.Duration `yaml:"leak_after" want:"a duration of 1s or more, such as 60s"`
}

// Sessions is one kind of sessions that an app keeps in Redis.
type Sessions struct {
	Redis string `yaml:"redis" want:"the name of a server in the section redis"`
	// What the keys begin with.
	Prefix string `yaml:"prefix" want:"1 to 128 bytes that the keys begin with, such as \"session:\""`
	// How long a session should live at most; 0: not set.
	Lifetime time.Duration `yaml:"lifetime,omitempty" want:"a duration of 1s or more, such as 2h"`
}

// The values of [Tasks.Type].
const (
	RQ     = "rq"
	Celery = "celery"
)

// Tasks is one kind of background tasks that an app leaves to queues in Redis.
type Tasks struct {
	Type  string `yaml:"type" want:"rq or celery"`
	Redis string `yaml:"redis" want:"the name of a server in the section redis"`
	// At most 50; none: see Names.
	Queues []string `yaml:"queues,omitempty" want:"a list of queues" item:"the name of a queue, of at most 128 bytes"`
	// Name or number of the user that the workers run as; "": the app's.
	User string `yaml:"user,omitempty" want:"the name or the number of a user" form:"user"`
}

// Names returns the configured queues; if none is configured, the one that the library
// uses by default.
func (t Tasks) Names() []string {
	switch {
	case len(t.Queues) > 0:
		return t.Queues
	case t.Type == Celery:
		return []string{"celery"}
	default:
		return []string{"default"}
	}
}

// SetDefaults implements [schema.Defaulter].
func (p *Pool) SetDefaults() { *p = Pool{Size: 5, MaxOverflow: 10, LeakAfter: time.Minute} }

// partProblems returns the problems of the pools, sessions and tasks of one app, and of
// the servers that they name.
func (c *Config) partProblems(a *App, path string) []problem {
	out := tooManyParts(path+".pools", len(a.Pools))
	out = append(out, tooManyParts(path+".sessions", len(a.Sessions))...)
	out = append(out, tooManyParts(path+".tasks", len(a.Tasks))...)
	names := nameList{kind: path + ".pools", first: make(map[string]int)}
	for i := range a.Pools {
		out = append(out, names.check(i, a.Pools[i].Name)...)
		out = append(out, c.poolProblems(&a.Pools[i], fmt.Sprintf("%s.pools[%d]", path, i))...)
	}
	servers := make(map[string]int)
	for i, s := range a.Sessions {
		at := fmt.Sprintf("%s.sessions[%d]", path, i)
		out = append(out, c.sessionProblems(s, at)...)
		if first, again := servers[s.Redis]; again {
			out = append(out, problem{at + ".redis", fmt.Sprintf("%q is already the server of sessions[%d]", s.Redis, first), "one entry per server, with a prefix that all its sessions share"})
		} else if s.Redis != "" {
			servers[s.Redis] = i
		}
	}
	queues := make(map[string]string)
	for i := range a.Tasks {
		out = append(out, c.taskProblems(&a.Tasks[i], fmt.Sprintf("%s.tasks[%d]", path, i), queues)...)
	}
	return out
}

// tooManyParts returns a problem if there are more than maxParts.
func tooManyParts(path string, n int) []problem {
	if n <= maxParts {
		return nil
	}
	return []problem{{path, fmt.Sprintf("got %d", n), "at most 10"}}
}

func (c *Config) poolProblems(p *Pool, path string) []problem {
	out := serverProblems(path+".mysql", p.MySQL, slices.ContainsFunc(c.MySQL, func(m MySQL) bool { return m.Name == p.MySQL }))
	if p.Size < 1 || p.Size > maxPerPool {
		out = append(out, problem{path + ".size", fmt.Sprintf("got %d", p.Size), ""})
	}
	if p.MaxOverflow < -1 || p.MaxOverflow > maxPerPool {
		out = append(out, problem{path + ".max_overflow", fmt.Sprintf("got %d", p.MaxOverflow), ""})
	}
	if p.LeakAfter < time.Second {
		out = append(out, problem{path + ".leak_after", "got " + p.LeakAfter.String(), ""})
	}
	return out
}

func (c *Config) sessionProblems(s Sessions, path string) []problem {
	out := c.redisNamed(path+".redis", s.Redis)
	switch {
	case s.Prefix == "":
		out = append(out, problem{path + ".prefix", "missing", ""})
	case len(s.Prefix) > maxPrefix || schema.HasControl(s.Prefix):
		out = append(out, problem{path + ".prefix", "got " + schema.Quote(s.Prefix), ""})
	}
	if s.Lifetime != 0 && s.Lifetime < time.Second {
		out = append(out, problem{path + ".lifetime", "got " + s.Lifetime.String(), ""})
	}
	return out
}

// taskProblems returns the problems of one entry of tasks. A queue that is given twice
// for an app is a problem: its series would be duplicates.
func (c *Config) taskProblems(t *Tasks, path string, queues map[string]string) []problem {
	out := c.redisNamed(path+".redis", t.Redis)
	switch {
	case t.Type == "":
		out = append(out, problem{path + ".type", "missing", ""})
	case t.Type != RQ && t.Type != Celery:
		out = append(out, problem{path + ".type", "got " + schema.Quote(t.Type), ""})
	}
	if t.User != "" && !isUserName(t.User) {
		out = append(out, problem{path + ".user", "got " + schema.Quote(t.User), ""})
	}
	if n := len(t.Queues); n > maxQueues {
		out = append(out, problem{path + ".queues", fmt.Sprintf("got %d", n), "at most 50"})
	}
	for i, q := range t.Names() {
		at := path + ".queues"
		if len(t.Queues) > 0 {
			at = fmt.Sprintf("%s[%d]", at, i)
		}
		switch first, again := queues[q]; {
		case len(q) > maxQueue || schema.HasControl(q):
			out = append(out, problem{at, "got " + schema.Quote(q), ""})
		case again:
			out = append(out, problem{at, fmt.Sprintf("the queue %q is already at %s", q, first), "each queue of an app only once"})
		default:
			queues[q] = at
		}
	}
	return out
}

func (c *Config) redisNamed(path, name string) []problem {
	return serverProblems(path, name, slices.ContainsFunc(c.Redis, func(r Redis) bool { return r.Name == name }))
}

// serverProblems returns a problem if the name of a server is missing or not configured.
func serverProblems(path, name string, exists bool) []problem {
	switch {
	case name == "":
		return []problem{{path, "missing", ""}}
	case !exists:
		return []problem{{path, "got " + schema.Quote(name) + ", which does not exist", ""}}
	}
	return nil
}
