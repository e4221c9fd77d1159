package config

import (
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// The bounds of what belongs to one app.
const (
	maxParts   = 10 // of one kind
	maxQueues  = 50
	maxPerPool = 10_000 // connections of one worker process
	maxPrefix  = 128    // bytes
	maxQueue   = 128    // bytes
)

// What is expected of the values.
const (
	wantPoolSize = "a whole number from 1 to 10000"
	wantOverflow = "a whole number from 0 to 10000, or -1 for no limit"
	wantLeak     = "a duration of 1s or more, such as 60s"
	wantLogin    = "the name of a user of the server"
	wantPrefix   = `1 to 128 bytes that the keys begin with, such as "session:"`
	wantLifetime = "a duration of 1s or more, such as 2h"
	wantTaskType = "rq or celery"
	wantQueue    = "the name of a queue, of at most 128 bytes"
)

// Pool is one connection pool of an app, as each of its worker processes has
// one of its own. The defaults are those of SQLAlchemy.
type Pool struct {
	Name        string        `yaml:"name"`           // 1 to 64 letters, digits or . _ : @ - /
	MySQL       string        `yaml:"mysql"`          // the name of a server in the section mysql
	User        string        `yaml:"user,omitempty"` // whose connections; "": everybody's
	Size        int           `yaml:"size"`           // connections that a worker process keeps; 1 to 10000
	MaxOverflow int           `yaml:"max_overflow"`   // and how many more it may open; -1: any number
	LeakAfter   time.Duration `yaml:"leak_after"`     // a connection asleep in a transaction for longer is leaked; 1s or more
}

// Sessions is one kind of sessions that an app keeps in Redis.
type Sessions struct {
	Redis    string        `yaml:"redis"`              // the name of a server in the section redis
	Prefix   string        `yaml:"prefix"`             // what the keys begin with
	Lifetime time.Duration `yaml:"lifetime,omitempty"` // how long a session should live at most; 0: not said
}

// The values of [Tasks.Type].
const (
	RQ     = "rq"
	Celery = "celery"
)

// Tasks is one kind of background tasks that an app leaves to queues in Redis.
type Tasks struct {
	Type   string   `yaml:"type"`             // RQ or Celery
	Redis  string   `yaml:"redis"`            // the name of a server in the section redis
	Queues []string `yaml:"queues,omitempty"` // at most 50; none: see Names
	User   string   `yaml:"user,omitempty"`   // name or number of the user that the workers run as; "": the app's
}

// Names returns the queues; without a list the one that the library uses by itself.
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

func defaultPool() Pool { return Pool{Size: 5, MaxOverflow: 10, LeakAfter: time.Minute} }

func (d *decoder) pool(p *Pool) setter {
	return d.mapping([]field{
		{"name", d.text(&p.Name, wantName)},
		{"mysql", d.text(&p.MySQL, wantServer("mysql"))},
		{"user", d.text(&p.User, wantLogin)},
		{"size", d.whole(&p.Size, wantPoolSize)},
		{"max_overflow", d.whole(&p.MaxOverflow, wantOverflow)},
		{"leak_after", d.duration(&p.LeakAfter, wantLeak)},
	})
}

func (d *decoder) sessions(s *Sessions) setter {
	return d.mapping([]field{
		{"redis", d.text(&s.Redis, wantServer("redis"))},
		{"prefix", d.text(&s.Prefix, wantPrefix)},
		{"lifetime", d.duration(&s.Lifetime, wantLifetime)},
	})
}

func (d *decoder) tasks(t *Tasks) setter {
	return d.mapping([]field{
		{"type", d.text(&t.Type, wantTaskType)},
		{"redis", d.text(&t.Redis, wantServer("redis"))},
		{"queues", d.list("a list of queues", func(n *yaml.Node, path string) {
			t.Queues = append(t.Queues, "")
			d.text(&t.Queues[len(t.Queues)-1], wantQueue)(n, path)
		})},
		{"user", d.userID(&t.User)},
	})
}

func wantServer(section string) string {
	return "the name of a server in the section " + section
}

// partProblems looks at what belongs to one app, and at the servers it names.
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
			out = append(out, problem{at + ".redis", fmt.Sprintf("%q is the server of sessions[%d] already", s.Redis, first), "one entry a server, with a prefix that all its sessions share"})
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

func tooManyParts(path string, n int) []problem {
	if n <= maxParts {
		return nil
	}
	return []problem{{path, fmt.Sprintf("got %d", n), "at most 10"}}
}

func (c *Config) poolProblems(p *Pool, path string) []problem {
	out := serverProblems(path+".mysql", "mysql", p.MySQL, slices.ContainsFunc(c.MySQL, func(m MySQL) bool { return m.Name == p.MySQL }))
	if p.Size < 1 || p.Size > maxPerPool {
		out = append(out, problem{path + ".size", fmt.Sprintf("got %d", p.Size), wantPoolSize})
	}
	if p.MaxOverflow < -1 || p.MaxOverflow > maxPerPool {
		out = append(out, problem{path + ".max_overflow", fmt.Sprintf("got %d", p.MaxOverflow), wantOverflow})
	}
	if p.LeakAfter < time.Second {
		out = append(out, problem{path + ".leak_after", "got " + p.LeakAfter.String(), wantLeak})
	}
	return out
}

func (c *Config) sessionProblems(s Sessions, path string) []problem {
	out := c.redisNamed(path+".redis", s.Redis)
	switch {
	case s.Prefix == "":
		out = append(out, problem{path + ".prefix", "missing", wantPrefix})
	case len(s.Prefix) > maxPrefix || hasControl(s.Prefix):
		out = append(out, problem{path + ".prefix", "got " + quote(s.Prefix), wantPrefix})
	}
	if s.Lifetime != 0 && s.Lifetime < time.Second {
		out = append(out, problem{path + ".lifetime", "got " + s.Lifetime.String(), wantLifetime})
	}
	return out
}

// taskProblems also takes care that no queue of an app is there twice: its
// series would be.
func (c *Config) taskProblems(t *Tasks, path string, queues map[string]string) []problem {
	out := c.redisNamed(path+".redis", t.Redis)
	switch {
	case t.Type == "":
		out = append(out, problem{path + ".type", "missing", wantTaskType})
	case t.Type != RQ && t.Type != Celery:
		out = append(out, problem{path + ".type", "got " + quote(t.Type), wantTaskType})
	}
	if t.User != "" && !isUserName(t.User) {
		out = append(out, problem{path + ".user", "got " + quote(t.User), wantUser})
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
		case len(q) > maxQueue || hasControl(q):
			out = append(out, problem{at, "got " + quote(q), wantQueue})
		case again:
			out = append(out, problem{at, fmt.Sprintf("the queue %q is at %s already", q, first), "each queue of an app once"})
		default:
			queues[q] = at
		}
	}
	return out
}

func (c *Config) redisNamed(path, name string) []problem {
	return serverProblems(path, "redis", name, slices.ContainsFunc(c.Redis, func(r Redis) bool { return r.Name == name }))
}

func serverProblems(path, section, name string, exists bool) []problem {
	switch {
	case name == "":
		return []problem{{path, "missing", wantServer(section)}}
	case !exists:
		return []problem{{path, "got " + quote(name) + ", which is not there", wantServer(section)}}
	}
	return nil
}
