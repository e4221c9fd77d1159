package doctor

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// remedyStatements are the rights to the last statement of a leaked connection,
// of single columns: docs/mysql.md.
const (
	remedyStatements = "GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO " + mysql.Placeholder + "; " +
		"GRANT SELECT (THREAD_ID, DIGEST_TEXT) ON performance_schema.events_statements_current TO " + mysql.Placeholder + ";"
	remedyConsumer = "performance_schema_consumer_events_statements_current=ON below [mysqld] in its my.cnf, a restart"
)

// killTargets is what the healing rules may end on one MySQL server.
type killTargets struct {
	procedures []string // of deploy/sql, that do it without a right to kill
	calls      []string // the procedures that steps name
	users      []string // of the server, whose connections may be ended
	bare       bool     // a step names no procedure, so that the login's own right is used
}

// killTargetsOn returns the procedures and users by which the steps may end connections on
// a server, sorted, each once; heals is false if no step may end anything.
func killTargetsOn(cfg config.Config, server string) (k killTargets, heals bool) {
	add := func(standard, procedure string, users []string) {
		heals = true
		k.bare = k.bare || procedure == ""
		k.procedures = append(k.procedures, standard)
		if procedure != "" {
			k.calls = append(k.calls, procedure)
		}
		k.users = append(k.users, users...)
	}
	for _, s := range stepsOf(cfg.Healing) {
		if s.KillLong != nil && (s.KillLong.MySQL == server || s.KillLong.MySQL == "") {
			add("resp_heal.kill_query", s.KillLong.Procedure, s.KillLong.Users)
		}
		if of := poolStepOf(s); of != nil {
			if pools, users := of.poolsOn(cfg.Apps, server); pools {
				add("resp_heal.kill_idle", of.procedure, users)
			}
		}
	}
	slices.Sort(k.procedures)
	slices.Sort(k.users)
	slices.Sort(k.calls)
	k.procedures, k.users, k.calls = slices.Compact(k.procedures), slices.Compact(k.users), slices.Compact(k.calls)
	return k, heals
}

// stepsOf returns the steps of all rules.
func stepsOf(h config.Healing) (out []config.HealingStep) {
	for _, r := range h.Rules {
		out = append(out, r.Steps...)
	}
	return out
}

// poolStep is what a step says about the pool whose connections it may end.
type poolStep struct {
	app, pool string
	users     []string
	procedure string
}

// poolStepOf returns the app, pool, users and procedure that a step names; nil unless it is
// kill_leaked or kill_blocking.
func poolStepOf(s config.HealingStep) *poolStep {
	switch {
	case s.KillLeaked != nil:
		return &poolStep{s.KillLeaked.App, s.KillLeaked.Pool, s.KillLeaked.Users, s.KillLeaked.Procedure}
	case s.KillBlocking != nil:
		return &poolStep{s.KillBlocking.App, s.KillBlocking.Pool, s.KillBlocking.Users, s.KillBlocking.Procedure}
	}
	return nil
}

// poolsOn reports whether a step may be about pools on a server, and returns the users
// whose connections it may end: its own, or if it has none those of the pools. What the
// step leaves out, an alert may name.
func (s *poolStep) poolsOn(apps []config.App, server string) (pools bool, users []string) {
	for _, a := range apps {
		for _, p := range a.Pools {
			if p.MySQL != server || s.app != "" && s.app != a.Name || s.pool != "" && s.pool != p.Name {
				continue
			}
			if pools = true; len(s.users) == 0 && p.User != "" {
				users = append(users, p.User)
			}
		}
	}
	return pools, append(users, s.users...)
}

// excessPrivileges adds a note on a login that may end any connection: it
// works, but nothing here needs it.
func (d *doctor) excessPrivileges(ctx context.Context, name string, server *mysql.Server, v mysql.Version) {
	rights, err := server.ExcessPrivileges(ctx)
	if err != nil || len(rights) == 0 {
		return
	}
	k, heals := killTargetsOn(d.Config, name)
	f := Finding{
		Of: "mysql:" + name, Reason: collectors.OK,
		Detail: "mysql " + name + ": the user has " + strings.Join(rights, " and ") + ", which allow it to end any connection and to run statements as other users; ",
		Remedy: []string{k.procedureRemedy(rights, server.Account(ctx), v.MariaDB, sqlDirectory(d.Flags.RootFS))},
	}
	switch {
	case heals && k.bare:
		f.Detail += "a healing step without procedure needs it; the procedures of deploy/sql do not"
	case heals:
		f.Detail += "the procedures that healing calls do not need it"
	default:
		f.Detail += "monitoring needs only PROCESS"
	}
	d.add("mysql", f)
}

// killRights adds what healing cannot end of what its steps name: by their procedures, or
// by the login's own right. A plan needs neither, so what is missing is a fault only in
// mode enforce.
func (d *doctor) killRights(ctx context.Context, name string, server *mysql.Server, v mysql.Version) {
	k, heals := killTargetsOn(d.Config, name)
	if !heals || d.Config.Healing.Mode == config.HealOff {
		return
	}
	lacks := func(reason collectors.Reason, detail string) {
		d.add("mysql", Finding{
			Of: "mysql:" + name, Reason: reason, Fault: d.Config.Healing.Mode == config.HealEnforce, Detail: "mysql " + name + ": " + detail,
			Remedy: []string{k.procedureRemedy(nil, server.Account(ctx), v.MariaDB, sqlDirectory(d.Flags.RootFS))},
		})
	}
	if rights, err := server.ExcessPrivileges(ctx); err == nil && k.bare && len(rights) == 0 {
		lacks(collectors.Permission, "the user may not end connections of other users, and a healing step sets no procedure: in mode enforce the step fails")
	}
	for _, procedure := range k.calls {
		switch may, err := server.CanExecute(ctx, procedure); {
		case err != nil:
			d.add("mysql", Finding{
				Of: "mysql:" + name, Reason: collectors.Failed,
				Detail: "mysql " + name + ": cannot check if the procedure " + procedure + ", which a healing step calls, exists: " + err.Error(),
			})
		case !may:
			lacks(collectors.NotFound, "the procedure "+procedure+", which a healing step calls, does not exist, or the user may not call it")
		}
	}
}

// procedureRemedy returns how to replace excess privileges by the procedures: files to load
// from the directory sql, and statements. From a login with all privileges, an
// administrator's, none are revoked: it creates a user resp to use instead.
func (k killTargets) procedureRemedy(rights []string, account string, mariadb bool, sql string) string {
	var way, statements []string
	if slices.Contains(rights, "ALL PRIVILEGES") {
		account = "'resp'" + account[strings.LastIndexByte(account, '@'):]
		way = append(way, "CREATE USER "+account+" IDENTIFIED BY 'PASSWORD' WITH MAX_USER_CONNECTIONS 3; and set that user in the dsn")
		rights = nil
	}
	if len(k.procedures) > 0 {
		load := "mysql < " + sql + "/mysql8-heal.sql"
		if mariadb {
			load = "mariadb < " + sql + "/mariadb-heal.sql"
		}
		way = append(way, load, "procedure: "+strings.Join(k.procedures, " or ")+" in the step")
	}
	for _, u := range k.users {
		statements = append(statements, "INSERT IGNORE INTO resp_heal.allowed VALUES ('"+strings.NewReplacer(`\`, `\\`, "'", "''").Replace(u)+"');")
	}
	for _, p := range k.procedures {
		statements = append(statements, "GRANT EXECUTE ON PROCEDURE "+p+" TO "+account+";")
	}
	statements = append(statements, "GRANT PROCESS ON *.* TO "+account+";")
	if len(rights) > 0 {
		statements = append(statements, "REVOKE "+strings.Join(rights, ", ")+" ON *.* FROM "+account+";")
	}
	return strings.Join(append(way, strings.Join(statements, " ")), ", then ")
}

// sqlDirectory returns the directory of the files with SQL: where a package of the exporter
// has put them on the host, else that of the sources. root is where the host's file tree is
// mounted.
func sqlDirectory(root string) string {
	const installed = "/usr/share/resp-exporter/sql"
	if st, err := os.Stat(filepath.Join(root, installed)); err == nil && st.IsDir() {
		return installed
	}
	return "deploy/sql"
}

// hasPool reports whether an app has a pool on a server, and the collector of pools is
// on.
func (d *doctor) hasPool(server string) bool {
	pools := func(a config.App) bool {
		return slices.ContainsFunc(a.Pools, func(p config.Pool) bool { return p.MySQL == server })
	}
	return !d.Flags.Off["pool"] && slices.ContainsFunc(d.Config.Apps, pools)
}
