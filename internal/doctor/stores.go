package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// mysqlServers adds what each server is, and what only a server that answers
// can tell.
func (d *doctor) mysqlServers(ctx context.Context) {
	for _, m := range d.Config.MySQL {
		server := d.MySQL(m.Name)
		index, v, serves := server.Serving()
		if !serves {
			d.fact("mysql", "%s cannot be queried, %s", m.Name, m.Transport())
			continue
		}
		way := m.Transport().String()
		if index > 0 {
			way = "by fallback " + strconv.Itoa(index)
			d.add("mysql", Finding{
				Of: "mysql:" + m.Name, Reason: collectors.NotFound, Fault: true,
				Detail: fmt.Sprintf("mysql %s: the server of dsn cannot be reached, so number %d of fallback_dsns is in use", m.Name, index),
			})
		}
		d.fact("mysql", "%s is %s %s, %s", m.Name, map[bool]string{true: "MariaDB", false: "MySQL"}[v.MariaDB], v, way)
		d.readOnly(ctx, m.Name, server)
		d.lockWaits(ctx, m.Name, server, v)
		d.excessPrivileges(ctx, m.Name, server, v)
		d.killRights(ctx, m.Name, server, v)
		d.statements(ctx, m.Name, server)
	}
}

// lockWaits reads the lock waits, which a scrape does only while somebody
// waits, where that needs a right of its own: in MySQL 8.
func (d *doctor) lockWaits(ctx context.Context, name string, server *mysql.Server, v mysql.Version) {
	if v.MariaDB || v.Major < 8 {
		return
	}
	if _, err := server.LockWaits(ctx); err != nil {
		for _, u := range collectors.LacksOfMySQL(name, err) {
			d.lack(ctx, "mysql", u)
		}
	}
}

// readOnly adds a note on a replica.
func (d *doctor) readOnly(ctx context.Context, name string, server *mysql.Server) {
	values, err := server.Variables(ctx)
	if v := strings.ToUpper(values["read_only"]); err != nil || v == "" || v == "OFF" || v == "0" {
		return
	}
	d.add("mysql", Finding{
		Of: "mysql:" + name, Reason: collectors.OK,
		Detail: "mysql " + name + " is read-only, probably a replica: its metrics are not those of the server that the app writes to, and actions that write are not possible",
	})
}

// cureMySQL completes a cure with the exporter's account on the server.
func (d *doctor) cureMySQL(ctx context.Context, name string, f *Finding) {
	i := slices.IndexFunc(d.Config.MySQL, func(m config.MySQL) bool { return m.Name == name })
	server := d.MySQL(name)
	if i < 0 || server == nil {
		return
	}
	for n, c := range f.Cure {
		f.Cure[n] = secret.Cured(c, d.Config.MySQL[i].PasswordFile)
		if strings.HasPrefix(c, "GRANT ") && f.Reason == collectors.Permission {
			c = d.grants(ctx, name, server)
		}
		if strings.Contains(c, mysql.Placeholder) {
			f.Cure[n] = strings.ReplaceAll(c, mysql.Placeholder, server.Account(ctx))
		}
	}
	if f.Reason == collectors.Permission && len(f.Cure) == 0 {
		f.Cure = d.files(d.Config.MySQL[i].Transport().Socket, d.Config.MySQL[i].PasswordFile)
	}
}

// redisState returns the state of a Redis in the last read; nil if there is none.
func (d *doctor) redisState(name string) *model.RedisServer {
	i := slices.IndexFunc(d.state.Redis, func(s model.RedisServer) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &d.state.Redis[i]
}

// redisServers adds what each server is.
func (d *doctor) redisServers() {
	for _, r := range d.Config.Redis {
		info := d.redisState(r.Name)
		if info == nil || !info.Informed {
			word := "cannot be queried"
			if info != nil && info.Up {
				word = "answers, but does not report its version and role"
			}
			d.fact("redis", "%s %s, %s", r.Name, word, r.Transport())
			continue
		}
		version, mode, role := info.Version, info.Mode, info.Role
		d.fact("redis", "%s is Redis %s, %s, %s, %s", r.Name, version, mode, role, r.Transport())
		if role == "slave" {
			d.add("redis", Finding{
				Of: "redis:" + r.Name, Reason: collectors.OK,
				Detail: "redis " + r.Name + " is a replica: its metrics are not those of the server that the app writes to, and actions that write are not possible",
			})
		}
	}
}

// cureRedis completes a cure with the exporter's user. For missing rights it is
// one line for a shell with all rights that the configuration needs.
func (d *doctor) cureRedis(ctx context.Context, name string, f *Finding) {
	i := slices.IndexFunc(d.Config.Redis, func(r config.Redis) bool { return r.Name == name })
	if i < 0 {
		return
	}
	way := d.Config.Redis[i].Transport()
	for n, c := range f.Cure {
		c = secret.Cured(c, d.Config.Redis[i].PasswordFile)
		f.Cure[n] = strings.ReplaceAll(c, redis.Placeholder, cmp.Or(way.User, "default"))
		if rules, ok := strings.CutPrefix(c, "ACL SETUSER "+redis.Placeholder+" "); ok {
			f.Cure[n] = d.setUser(ctx, d.Config.Redis[i], rules)
		}
	}
	if f.Reason == collectors.Permission && len(f.Cure) == 0 {
		f.Cure = d.files(way.Socket, d.Config.Redis[i].PasswordFile)
	}
}

// files returns cures for the files on the way to a store, its socket and the
// password file, that this user may not use.
func (d *doctor) files(socket, passwordFile string) []string {
	var out []string
	if group, open := inaccessible(socket); group != "" {
		if !open {
			out = append(out, "the group "+group+" needs access to its socket and the directories above it; in redis.conf: unixsocketperm 770")
		}
		out = append(out, "in the unit: SupplementaryGroups="+group, "usermod -aG "+group+" "+d.who.name)
	}
	if passwordFile == "" {
		return out
	}
	if f, err := os.OpenFile(passwordFile, os.O_RDONLY|syscall.O_NONBLOCK, 0); errors.Is(err, fs.ErrPermission) {
		out = append(out, "chown "+d.who.name+" "+passwordFile+"; chmod 0400 "+passwordFile)
	} else if err == nil {
		_ = f.Close()
	}
	return out
}

// inaccessible returns the group of the directory or socket on the path that
// this user may not use, and whether that group may; "" if all of it is
// accessible.
func inaccessible(socket string) (group string, open bool) {
	if socket == "" {
		return "", false
	}
	var way []string
	for p := filepath.Dir(socket); ; p = filepath.Dir(p) {
		way = append([]string{p}, way...)
		if p == "/" {
			break
		}
	}
	for i, p := range append(way, socket) {
		right, bits := uint32(unix.X_OK), uint32(0o010)
		if i == len(way) {
			right, bits = unix.W_OK, 0o020
		}
		if unix.Faccessat(unix.AT_FDCWD, p, right, unix.AT_EACCESS) == nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(p, &st) != nil {
			return "", false
		}
		return groupName(strconv.FormatUint(uint64(st.Gid), 10)), st.Mode&bits != 0
	}
	return "", false
}
