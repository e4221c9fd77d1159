package doctor_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/doctor"
)

// The remedy for a right to kill has the procedures and the users of those steps that
// may act on this server.
func TestInstead(t *testing.T) {
	t.Parallel()
	step := func(s config.HealingStep) config.HealingRule {
		return config.HealingRule{Steps: []config.HealingStep{s}}
	}
	long := func(server, procedure string) config.HealingRule {
		return step(config.HealingStep{KillLong: &config.KillLong{MySQL: server, Users: []string{"report", "o'neil"}, MinTime: time.Minute, Procedure: procedure}})
	}
	leaked := func(appName, pool string, users ...string) config.HealingRule {
		return step(config.HealingStep{KillLeaked: &config.KillLeaked{App: appName, Pool: pool, Users: users}})
	}
	blocking := func(appName string, users ...string) config.HealingRule {
		return step(config.HealingStep{KillBlocking: &config.KillBlocking{App: appName, Users: users, Procedure: "resp_heal.kill_idle"}})
	}
	const idle, query = "GRANT EXECUTE ON PROCEDURE resp_heal.kill_idle TO 'x'@'h';", "GRANT EXECUTE ON PROCEDURE resp_heal.kill_query TO 'x'@'h';"
	for name, c := range map[string]struct {
		rules        []config.HealingRule
		rights       string
		mysql        bool
		heals, bare  bool
		has, hasNone []string
	}{
		"no healing":     {nil, "SUPER", false, false, false, []string{"GRANT PROCESS ON *.* TO 'x'@'h'; REVOKE SUPER ON *.* FROM 'x'@'h';"}, []string{"resp_heal"}},
		"another server": {[]config.HealingRule{long("other", ""), leaked("shop", "second")}, "SUPER", false, false, false, nil, []string{"resp_heal"}},
		"of the pool":    {[]config.HealingRule{leaked("shop", "")}, "CONNECTION ADMIN,SUPER", false, true, true, []string{"mariadb < deploy/sql/mariadb-heal.sql, then procedure: resp_heal.kill_idle in the step", "VALUES ('shop');", idle, "REVOKE CONNECTION ADMIN, SUPER ON *.*"}, []string{"kill_query", "'other'"}},
		"of the step":    {[]config.HealingRule{leaked("", "", "admin")}, "SUPER", false, true, true, []string{"VALUES ('admin');", idle}, []string{"'shop'"}},
		"of a root":      {[]config.HealingRule{blocking("shop")}, "SUPER", false, true, false, []string{"procedure: resp_heal.kill_idle in the step", "VALUES ('shop');", idle}, []string{"kill_query", "'other'"}},
		"another's root": {[]config.HealingRule{blocking("blog")}, "SUPER", false, false, false, nil, []string{"resp_heal"}},
		"of the alert":   {[]config.HealingRule{long("", "resp_heal.kill_query")}, "CONNECTION_ADMIN", true, true, false, []string{"mysql < deploy/sql/mysql8-heal.sql", "VALUES ('report');", "VALUES ('o''neil');", query}, []string{"kill_idle", "mariadb"}},
		"an admin":       {[]config.HealingRule{long("main", "")}, "ALL PRIVILEGES", false, true, true, []string{"CREATE USER 'resp'@'h' IDENTIFIED BY 'PASSWORD'", "TO 'resp'@'h';"}, []string{"REVOKE", "'x'"}},
		"an idle admin":  {nil, "ALL PRIVILEGES,SUPER", false, false, false, []string{"CREATE USER 'resp'@'h'"}, []string{"REVOKE", "deploy/sql"}},
	} {
		cfg := config.Default()
		cfg.Apps = []config.App{
			{Name: "shop", Pools: []config.Pool{{Name: "main", MySQL: "main", User: "shop"}, {Name: "second", MySQL: "other", User: "other"}}},
			{Name: "blog", Pools: []config.Pool{{Name: "main", MySQL: "other", User: "blog"}}},
		}
		cfg.Healing.Rules = c.rules
		got, heals, bare := doctor.Instead(cfg, "main", strings.Split(c.rights, ","), "'x'@'h'", !c.mysql)
		if heals != c.heals || bare != c.bare {
			t.Errorf("%s: heals %t, without a procedure %t", name, heals, bare)
		}
		for _, want := range c.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %s", name, want, got)
			}
		}
		for _, none := range c.hasNone {
			if strings.Contains(got, none) {
				t.Errorf("%s: %q in %s", name, none, got)
			}
		}
	}
}

// The files with the procedures are named where a package has installed them.
func TestSQLDirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if got := doctor.SQLDirectory(root); got != "deploy/sql" {
		t.Errorf("without a package: %s", got)
	}
	if err := os.MkdirAll(root+"/usr/share/resp-exporter/sql", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := doctor.SQLDirectory(root); got != "/usr/share/resp-exporter/sql" {
		t.Errorf("with a package: %s", got)
	}
}
