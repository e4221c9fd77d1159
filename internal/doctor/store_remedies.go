package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// completeMySQL sets the exporter's account on the server in the remedy of a finding.
func (d *doctor) completeMySQL(ctx context.Context, name string, f *Finding) {
	i := slices.IndexFunc(d.Config.MySQL, func(m config.MySQL) bool { return m.Name == name })
	server := d.MySQL(name)
	if i < 0 || server == nil {
		return
	}
	for n, c := range f.Remedy {
		f.Remedy[n] = secret.RemedyWithPath(c, d.Config.MySQL[i].PasswordFile)
		if strings.HasPrefix(c, "GRANT ") && f.Reason == collectors.Permission {
			c = d.grants(ctx, name, server)
		}
		if strings.Contains(c, mysql.Placeholder) {
			f.Remedy[n] = strings.ReplaceAll(c, mysql.Placeholder, server.Account(ctx))
		}
	}
	if f.Reason == collectors.Permission && len(f.Remedy) == 0 {
		f.Remedy = d.files(d.Config.MySQL[i].Transport().Socket, d.Config.MySQL[i].PasswordFile)
	}
}

// completeRedis sets the exporter's user in the remedy of a finding. For missing rights
// it becomes one line for a shell, with all rights that the configuration needs.
func (d *doctor) completeRedis(ctx context.Context, name string, f *Finding) {
	i := slices.IndexFunc(d.Config.Redis, func(r config.Redis) bool { return r.Name == name })
	if i < 0 {
		return
	}
	way := d.Config.Redis[i].Transport()
	for n, c := range f.Remedy {
		c = secret.RemedyWithPath(c, d.Config.Redis[i].PasswordFile)
		f.Remedy[n] = strings.ReplaceAll(c, redis.Placeholder, cmp.Or(way.User, "default"))
		if rules, ok := strings.CutPrefix(c, "ACL SETUSER "+redis.Placeholder+" "); ok {
			f.Remedy[n] = d.setUser(ctx, d.Config.Redis[i], rules)
		}
	}
	if f.Reason == collectors.Permission && len(f.Remedy) == 0 {
		f.Remedy = d.files(way.Socket, d.Config.Redis[i].PasswordFile)
	}
}

// files returns remedies for the files on the way to a store, its socket and the password
// file, that this user has no permission for; none for any other failure.
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

// inaccessible returns the group of the directory or socket on the path that this user may
// not use, and whether that group may; "" if all of it is accessible, or what is not
// cannot be examined.
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

// groupName returns the name of a group, or its id if it has none.
func groupName(gid string) string {
	if g, err := user.LookupGroupId(gid); err == nil {
		return g.Name
	}
	return gid
}
