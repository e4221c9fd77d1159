package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxStores bounds the servers of one kind, maxFallbacks what stands in for one.
const (
	maxStores    = 20
	maxFallbacks = 4
)

// The forms of the addresses of stores. What was given instead is never
// repeated: it may hold a password.
const (
	wantDSN          = `a DSN such as "resp@tcp(127.0.0.1:3306)/" or "resp@unix(/run/mysqld/mysqld.sock)/"`
	wantRedisURL     = `a URL such as "redis://resp@127.0.0.1:6379/0", "rediss://…" for TLS or "unix:///run/redis/redis.sock"`
	wantPasswordFile = "an absolute path such as /etc/resp-exporter/password"
)

// MySQL is one MySQL or MariaDB server.
type MySQL struct {
	Name         string   `yaml:"name"`                    // 1 to 64 letters, digits or . _ : @ - /
	DSN          Secret   `yaml:"dsn"`                     // user[:password]@tcp(host:port)/[database][?key=value], or unix(/path)
	PasswordFile string   `yaml:"password_file,omitempty"` // absolute path; read at each connect; wins over a password in a DSN
	FallbackDSNs []Secret `yaml:"fallback_dsns,omitempty"` // at most 4; tried in this order while the server of DSN cannot be reached
}

// Redis is one Redis server, or one cluster.
type Redis struct {
	Name         string `yaml:"name"`                    // 1 to 64 letters, digits or . _ : @ - /
	URL          Secret `yaml:"url"`                     // as ParseRedisURL takes it
	PasswordFile string `yaml:"password_file,omitempty"` // absolute path; read at each connect; wins over a password in the URL
	Cache        Choice `yaml:"cache,omitempty"`         // whether its hit rate is judged; left out: unless sessions or tasks name it
}

// Choice is a boolean that may be left out. It can be compared.
type Choice string

// The values of a [Choice] that is not left out.
const (
	Yes Choice = "true"
	No  Choice = "false"
)

// IsCache reports whether the Redis of that name is a cache, whose hit rate is
// judged: as the section says, else unless sessions or tasks are kept in it.
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

// PoolUsers lists the users of the MySQL server of that name whose connections
// are the pools of apps, with the app of each. It is empty where a pool of that
// server names no user, so that the users of the apps are not known.
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

func (d *decoder) mysql(m *MySQL) setter {
	return d.mapping([]field{
		{"name", d.text(&m.Name, wantName)},
		{"dsn", d.secret(&m.DSN, wantDSN)},
		{"password_file", d.text(&m.PasswordFile, wantPasswordFile)},
		{"fallback_dsns", d.secrets(&m.FallbackDSNs, "a list of DSNs")},
	})
}

func (d *decoder) redis(r *Redis) setter {
	return d.mapping([]field{
		{"name", d.text(&r.Name, wantName)},
		{"url", d.secret(&r.URL, wantRedisURL)},
		{"password_file", d.text(&r.PasswordFile, wantPasswordFile)},
		{"cache", d.choice(&r.Cache)},
	})
}

// choice takes true or false.
func (d *decoder) choice(to *Choice) setter {
	return func(n *yaml.Node, path string) {
		var v bool
		d.truth(&v)(n, path)
		if n.ShortTag() != tagBool {
			return // it was refused
		}
		if *to = No; v {
			*to = Yes
		}
	}
}

// secret takes text that is not empty, and repeats none of it in a fault.
func (d *decoder) secret(to *Secret, want string) setter {
	return func(n *yaml.Node, path string) {
		switch {
		case empty(n):
			d.reject(n.Line, problem{path, "got nothing", want})
		case n.Kind != yaml.ScalarNode || n.Anchor != "" || n.ShortTag() != tagStr:
			d.reject(n.Line, problem{path, "got something that is no text", want})
		case n.Value == "":
			d.reject(n.Line, problem{path, `got ""`, want})
		default:
			*to = Secret(n.Value)
		}
	}
}

// secrets takes a list of them. What stands there instead may be a secret too.
func (d *decoder) secrets(to *[]Secret, want string) setter {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.SequenceNode && !empty(n) {
			d.reject(n.Line, problem{path, "got something that is no list", want})
			return
		}
		d.list(want, func(n *yaml.Node, path string) {
			*to = append(*to, "")
			d.secret(&(*to)[len(*to)-1], wantDSN)(n, path)
		})(n, path)
	}
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
			out = append(out, problem{path + ".url", "missing", wantRedisURL})
		case !isRedisURL(r.URL):
			out = append(out, problem{path + ".url", "another form (not shown, it may hold a password)", wantRedisURL})
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

func (l nameList) tooMany(n int) []problem {
	if n <= maxStores {
		return nil
	}
	return []problem{{l.kind, fmt.Sprintf("got %d servers", n), "at most 20"}}
}

func (l nameList) check(i int, name string) []problem {
	path := fmt.Sprintf("%s[%d].name", l.kind, i)
	switch j, again := l.first[name]; {
	case name == "":
		return []problem{{path, "missing", wantName}}
	case !isAppName(name):
		return []problem{{path, "got " + quote(name), wantName}}
	case again:
		return []problem{{path, fmt.Sprintf("%q is the name of %s[%d] already", name, l.kind, j), "another name"}}
	}
	l.first[name] = i
	return nil
}

func dsnProblems(dsn Secret, path string) []problem {
	switch {
	case dsn == "":
		return []problem{{path, "missing", wantDSN}}
	case !isDSN(dsn):
		return []problem{{path, "another form (not shown, it may hold a password)", wantDSN}}
	}
	return nil
}

func passwordFileProblems(file, path string) []problem {
	if file == "" || isAbsolute(file) {
		return nil
	}
	return []problem{{path + ".password_file", "got " + quote(file), wantPasswordFile}}
}

func isDSN(s Secret) bool {
	_, err := ParseDSN(s)
	return err == nil
}

func isRedisURL(s Secret) bool {
	_, err := ParseRedisURL(s)
	return err == nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
