package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// The users of the shop.
const (
	shopWord        = "shop2shop2"
	shopRedisRights = "~session:* ~shop:* ~rq:* &rq:* +@all -@admin -@dangerous +info +client|setname +client|list"
	shopGrants      = `CREATE USER 'shop'@'127.0.0.1' IDENTIFIED BY '` + shopWord + `'; GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'shop'@'127.0.0.1'`
)

// shopStored is what the shop leans on.
type shopStored struct {
	db     *mariadb.Server
	redis  *redisServer
	rq     *run.Proc // the supervisor of its worker
	env    []string  // of the shop and its RQ workers
	config string    // of the exporter: the sections mysql and redis
}

// supervisor runs a program again each time it ends, as systemd does.
var supervisor = []string{"/bin/sh", "-c", `while :; do "$@"; sleep 0.5; done`, "supervisor"}

// shopStores starts MariaDB and Redis with the shop's tables and users, and an
// RQ worker under a supervisor. The exporter's users have the rights of the
// documentation.
func shopStores(t *testing.T, options ...string) shopStored {
	t.Helper()
	return shopStoresIn(t, nil, options...)
}

// shopStoresIn is shopStores with a program that runs both servers. What is in its
// Redis, and who may use it, then outlasts a crash.
func shopStoresIn(t *testing.T, wrap []string, options ...string) shopStored {
	t.Helper()
	need(t, "rq")
	db, err := mariadb.StartIn(t.Context(), dataDir(t), wrap, options...)
	if db != nil {
		t.Cleanup(db.Stop)
	}
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile("shop/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, string(schema))
	execute(t, db, strings.ReplaceAll(mariadb.Grants, "PASSWORD", word)+";"+shopGrants)
	var kept []string
	if wrap != nil {
		kept = append([]string{"--appendonly", "yes", "--user", "shop", "on", ">" + shopWord}, strings.Fields(shopRedisRights)...)
		kept = append(append(kept, redisUserArgs()...), strings.Fields(sessionRights+" "+rqRights+" "+purgeRights+" "+restartRights)...)
	}
	r := startRedisIn(t, wrap, kept...)
	shopUsers(r, sessionRights, rqRights)
	dir, err := filepath.Abs("shop")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("redis://shop:%s@127.0.0.1:%d/0", shopWord, r.port)
	s := shopStored{db: db, redis: r, config: mysqlSection(t, "main", db) + redisSection(t, "cache", r.url()), env: []string{
		"PYTHONPATH=" + dir, "SHOP_REDIS=" + url, "RQ_REDIS_URL=" + url, "PATH=/usr/bin:/bin",
		fmt.Sprintf("SHOP_DB=mysql+pymysql://shop:%s@127.0.0.1:%d/shop", shopWord, db.Port),
	}}
	s.rq = start(t, run.Spec{
		Name: "rq", Path: supervisor[0], Args: append(supervisor[1:], "rq", "worker", "-c", "jobs", "default"), Dir: dir,
		Env: append([]string{"PYTHONDONTWRITEBYTECODE=1"}, s.env...),
	})
	eventually(t, 30*time.Second, func() error { return wants("RQ workers", r.cli("SCARD", "rq:workers"), "1") })
	return s
}

// shopUsers makes the users of a Redis that saves nothing, also after a restart.
func shopUsers(r *redisServer, rights ...string) {
	r.t.Helper()
	r.cli("ACL", append([]string{"SETUSER", "shop", "on", ">" + shopWord}, strings.Fields(shopRedisRights)...)...)
	r.cli("ACL", append([]string{"SETUSER", redisUser, "reset", "on", ">" + redisPassword}, strings.Fields(redisRights+" "+strings.Join(rights, " "))...)...)
}
