package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// mysqlServers adds what each server of the configuration is, and what only a server that
// answers can tell.
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

// lockWaits adds what keeps the lock waits and the metadata locks from being read in
// MySQL 8, where they need a right of their own. A scrape reads them only while somebody
// waits, so it would not be noticed.
func (d *doctor) lockWaits(ctx context.Context, name string, server *mysql.Server, v mysql.Version) {
	if v.MariaDB || v.Major < 8 {
		return
	}
	if _, err := server.LockWaits(ctx); err != nil {
		for _, u := range collectors.LacksOfMySQL(name, err) {
			d.lack(ctx, "mysql", u)
		}
	}
	_, err := server.MetadataLocks(ctx)
	if u := collectors.LackOfMetadataLocks(name, err); u != nil {
		d.lack(ctx, "mysql", u)
	}
}

// readOnly adds a note if a server is read-only, probably a replica.
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

// redisServers adds the version and role of each server of the configuration, or that it
// cannot be queried.
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

// statements adds a finding if the last statement of a leaked connection cannot be read,
// on a server with pools. A collector reads it only after a leak, so it would not be
// noticed.
func (d *doctor) statements(ctx context.Context, name string, server *mysql.Server) {
	if !d.hasPool(name) {
		return
	}
	kept, err := server.KeepsStatements(ctx)
	f := Finding{Of: "mysql:" + name, Detail: "mysql " + name + ": the last statements of leaked connections cannot be read: "}
	var e *mysql.Error
	switch {
	case errors.As(err, &e) && e.Reason == reason.Permission:
		f.Reason, f.Remedy = collectors.Permission, []string{remedyStatements}
		f.Detail += "the user needs SELECT on two columns each of two tables"
	case errors.As(err, &e) && e.Reason == reason.Unsupported:
		f.Reason, f.Remedy = collectors.Unsupported, []string{"performance_schema=ON and " + remedyConsumer + ", then " + remedyStatements}
		f.Detail += "the server needs performance_schema=ON in its configuration"
	case err == nil && !kept:
		f.Reason, f.Remedy = collectors.Disabled, []string{
			remedyConsumer, "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'events_statements_current'; which holds until its next restart",
		}
		f.Detail += "the consumer events_statements_current is off"
	default:
		return // it keeps them, or another finding reports the fault
	}
	d.completeMySQL(ctx, name, &f)
	d.add("mysql", f)
}
