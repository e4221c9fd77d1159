package doctor

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// setUser returns a shell command for an administrator on the Redis server's own host (it names the
// port, no host) that grants the exporter's user there all rights it needs. If ">PASSWORD" is in
// rules (the login was refused), it also switches the user on and sets the password: from the
// password_file, else that placeholder, to be filled in.
func (d *doctor) setUser(ctx context.Context, r config.Redis, rules string) string {
	argv := []string{"redis-cli"}
	u, err := config.ParseRedisURL(r.URL)
	if err == nil && u.Kind == config.RedisServer && len(u.Addrs) == 1 {
		if _, port, err := net.SplitHostPort(u.Addrs[0]); err == nil && port != "6379" {
			argv = append(argv, "-p", port)
		}
		if u.TLS {
			argv = append(argv, "--tls")
		}
	}
	argv = append(argv, "ACL", "SETUSER", cmp.Or(r.Transport().User, "default"))
	if strings.Contains(rules, ">PASSWORD") {
		argv = append(argv, "on")
	}
	line := shellLine(argv)
	switch {
	case !strings.Contains(rules, ">PASSWORD"):
	case r.PasswordFile != "":
		line += ` ">$(cat ` + shellLine([]string{r.PasswordFile}) + `)"`
	default:
		line += " '>PASSWORD'"
	}
	return line + " " + shellLine(d.rightsOn(r.Name, u).Rules(d.beforeRedis7(ctx, r.Name)))
}

// rightsOn returns the rights that the configuration needs on one Redis.
func (d *doctor) rightsOn(name string, u config.RedisURL) redis.Rights {
	r := redis.Rights{Database: u.DB > 0, Cluster: u.Kind == config.RedisCluster, Leases: d.Config.Healing.Coordination.Redis == name, Relay: d.Config.Healing.Relay.Redis == name, Control: d.Config.Healing.Control.Redis == name}
	for _, s := range stepsOf(d.Config.Healing) {
		if s.RestartTask != nil && slices.ContainsFunc(d.queuesOf(s.RestartTask), func(q ownedQueues) bool { return q.tasks.Redis == name }) {
			r.Clients = true
		}
	}
	for _, a := range d.Config.Apps {
		for _, t := range a.Tasks {
			switch {
			case t.Redis != name:
			case t.Type == config.Celery:
				r.Celery = append(r.Celery, t.Names()...)
			default:
				r.RQ = true
			}
		}
		for _, s := range a.Sessions {
			if s.Redis == name {
				r.Sessions = append(r.Sessions, s.Prefix)
			}
		}
	}
	return r
}

// beforeRedis7 reports whether a server is older than Redis 7; false where its
// version is not known.
func (d *doctor) beforeRedis7(ctx context.Context, name string) bool {
	version := ""
	if s := d.redisState(name); s != nil {
		version = s.Version
	}
	if s := d.Redis(name); version == "" && s != nil {
		version = s.Version(ctx)
	}
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n < 7
}

// grants returns one line of statements with all rights that the configuration needs on a
// MySQL server; the login may have some already. It is PROCESS alone if performance_schema
// is off or the server cannot be read.
func (d *doctor) grants(ctx context.Context, name string, server *mysql.Server) string {
	out := []string{"GRANT PROCESS ON *.* TO " + mysql.Placeholder + ";"}
	values, err := server.Variables(ctx)
	_, v, serves := server.Serving()
	if err == nil && serves && strings.EqualFold(values["performance_schema"], "ON") {
		out = append(out, collectors.RemedyStatementTime)
		if d.hasPool(name) {
			out = append(out, remedyStatements)
		}
		if !v.MariaDB && v.Major >= 8 {
			out = append(out, collectors.RemedyLockWaits, collectors.RemedyLockedTables, collectors.RemedyMetadataLocks)
		}
	}
	return strings.Join(out, " ")
}

// shellLine returns arguments as one line for a shell, quoted where needed.
func shellLine(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		if out[i] = a; a == "" || strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:,=@") != "" {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// redisState returns the state of a Redis in the last read; nil if there is none.
func (d *doctor) redisState(name string) *model.RedisServer {
	i := slices.IndexFunc(d.state.Redis, func(s model.RedisServer) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &d.state.Redis[i]
}
