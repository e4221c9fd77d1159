package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config/hidden"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// maxStores bounds the servers of one kind, maxFallbacks what stands in for one.
const (
	maxStores    = 20
	maxFallbacks = 4
)

// Secret is text that hides itself.
type Secret = hidden.Secret

// MySQL is one MySQL or MariaDB server.
type MySQL struct {
	Name string `yaml:"name" want:"1 to 64 letters, digits or . _ : @ - /"`
	// User[:password]@tcp(host:port)/[database][?key=value], or unix(/path).
	DSN Secret `yaml:"dsn" want:"a DSN such as \"resp@tcp(127.0.0.1:3306)/\" or \"resp@unix(/run/mysqld/mysqld.sock)/\""`
	// Absolute path; read at each connect; wins over a password in a DSN.
	PasswordFile string `yaml:"password_file,omitempty" want:"an absolute path such as /etc/resp-exporter/password"`
	// At most 4; tried in this order while the server of DSN cannot be reached.
	FallbackDSNs []Secret `yaml:"fallback_dsns,omitempty" want:"a list of DSNs" item:"a DSN such as \"resp@tcp(127.0.0.1:3306)/\" or \"resp@unix(/run/mysqld/mysqld.sock)/\""`
}

// Redis is one Redis server, or one cluster.
type Redis struct {
	Name string `yaml:"name" want:"1 to 64 letters, digits or . _ : @ - /"`
	// As ParseRedisURL takes it.
	URL Secret `yaml:"url" want:"a URL such as \"redis://resp@127.0.0.1:6379/0\", \"rediss://…\" for TLS or \"unix:///run/redis/redis.sock\""`
	// Absolute path; read at each connect; wins over a password in the URL.
	PasswordFile string `yaml:"password_file,omitempty" want:"an absolute path such as /etc/resp-exporter/password"`
	// Whether its hit rate is judged; left out: unless sessions or tasks name it.
	Cache Choice `yaml:"cache,omitempty" want:"true or false"`
}

// Choice is a boolean that may be left out. It can be compared.
type Choice string

// The values of a [Choice] that is not left out.
const (
	Yes Choice = "true"
	No  Choice = "false"
)

// SetBool implements [schema.BoolSetter].
func (c *Choice) SetBool(b bool) {
	if *c = No; b {
		*c = Yes
	}
}

// IsCache reports whether the hit rate of the Redis of that name is judged. If its section does
// not say: true, unless an app keeps sessions or tasks in it. True for an unknown name, too.
func (c *Config) IsCache(name string) bool {
	for _, r := range c.Redis {
		if r.Name == name && r.Cache != "" {
			return r.Cache == Yes
		}
	}
	for _, a := range c.Apps {
		if slices.ContainsFunc(a.Sessions, func(s Sessions) bool { return s.Redis == name }) ||
			slices.ContainsFunc(a.Tasks, func(t Tasks) bool { return t.Redis == name }) {
			return false
		}
	}
	return true
}

// PoolUsers returns the app of each database user of a MySQL server, by the users of the
// configured pools; of a user of several apps the last one. It is nil where a pool of
// that server names no user, so that the users of the apps are not known.
func (c *Config) PoolUsers(mysql string) map[string]string {
	out := make(map[string]string)
	for _, a := range c.Apps {
		for _, p := range a.Pools {
			switch {
			case p.MySQL != mysql:
			case p.User == "":
				return nil
			default:
				out[p.User] = a.Name
			}
		}
	}
	return out
}

func mysqlProblems(list []MySQL) []problem {
	names := nameList{kind: "mysql", first: make(map[string]int, len(list))}
	out := names.tooMany(len(list))
	for i, m := range list {
		path := fmt.Sprintf("mysql[%d]", i)
		out = append(out, names.check(i, m.Name)...)
		out = append(out, dsnProblems(m.DSN, path+".dsn")...)
		out = append(out, passwordFileProblems(m.PasswordFile, path)...)
		if n := len(m.FallbackDSNs); n > maxFallbacks {
			out = append(out, problem{path + ".fallback_dsns", fmt.Sprintf("got %d", n), "at most 4"})
		}
		for j, dsn := range m.FallbackDSNs {
			out = append(out, dsnProblems(dsn, fmt.Sprintf("%s.fallback_dsns[%d]", path, j))...)
		}
	}
	return out
}

func redisProblems(list []Redis) []problem {
	names := nameList{kind: "redis", first: make(map[string]int, len(list))}
	out := names.tooMany(len(list))
	for i, r := range list {
		path := fmt.Sprintf("redis[%d]", i)
		out = append(out, names.check(i, r.Name)...)
		switch {
		case r.URL == "":
			out = append(out, problem{path + ".url", "missing", ""})
		case !isRedisURL(r.URL):
			out = append(out, problem{path + ".url", "an invalid value (not shown, it may contain a password)", ""})
		}
		out = append(out, passwordFileProblems(r.PasswordFile, path)...)
	}
	return out
}

// nameList holds the names of one list of stores against each other.
type nameList struct {
	kind  string
	first map[string]int
}

// tooMany returns a problem if there are more than maxStores.
func (l nameList) tooMany(n int) []problem {
	if n <= maxStores {
		return nil
	}
	return []problem{{l.kind, fmt.Sprintf("got %d servers", n), "at most 20"}}
}

// check returns what is wrong with name i: missing, invalid or not the first; nil: it is recorded.
func (l nameList) check(i int, name string) []problem {
	path := fmt.Sprintf("%s[%d].name", l.kind, i)
	switch j, again := l.first[name]; {
	case name == "":
		return []problem{{path, "missing", ""}}
	case !isAppName(name):
		return []problem{{path, "got " + schema.Quote(name), ""}}
	case again:
		return []problem{{path, fmt.Sprintf("%q is already the name of %s[%d]", name, l.kind, j), "another name"}}
	}
	l.first[name] = i
	return nil
}

func dsnProblems(dsn Secret, path string) []problem {
	switch {
	case dsn == "":
		return []problem{{path, "missing", ""}}
	case !isDSN(dsn):
		return []problem{{path, "an invalid value (not shown, it may contain a password)", ""}}
	}
	return nil
}

func passwordFileProblems(file, path string) []problem {
	if file == "" || schema.IsAbsolute(file) {
		return nil
	}
	return []problem{{path + ".password_file", "got " + schema.Quote(file), ""}}
}

func isDSN(s Secret) bool {
	_, err := ParseDSN(s)
	return err == nil || errors.Is(err, ErrDSNParameter)
}

func isRedisURL(s Secret) bool {
	_, err := ParseRedisURL(s)
	return err == nil
}
