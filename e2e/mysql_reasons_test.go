package e2e_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestMySQLReasons checks that each fault of a connection has its reason, is not logged at
// each scrape, and that no secret of the configuration is shown.
func TestMySQLReasons(t *testing.T) {
	t.Parallel()
	s := database(t)
	execute(t, s, "CREATE USER 'bare'@'%' IDENTIFIED BY '"+word+"'; CREATE USER 'crowded'@'%' IDENTIFIED BY '"+word+"' WITH MAX_USER_CONNECTIONS 1; SET GLOBAL max_connections = 40")
	db, err := s.OpenTCP("crowded", word)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tests := map[string]struct {
		dsn, reason string
		up          float64
	}{
		"password": {fmt.Sprintf("resp:wrong%s@tcp(127.0.0.1:%d)/", word, s.Port), "permission", 0},
		"user":     {fmt.Sprintf("nobody:%s@tcp(127.0.0.1:%d)/", word, s.Port), "permission", 0},
		"grant":    {fmt.Sprintf("bare:%s@tcp(127.0.0.1:%d)/", word, s.Port), "permission", 1},
		"port":     {fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/", word, freePort(t)), "not_found", 0},
		"socket":   {fmt.Sprintf("resp:%s@unix(%s.none)/", word, s.Socket), "not_found", 0},
		"name":     {"resp:" + word + "@tcp(no.such.host.invalid:3306)/", "not_found", 0},
		"tls":      {fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/?tls=true", word, s.Port), "unsupported", 0},
		"crowded":  {fmt.Sprintf("crowded:%s@tcp(127.0.0.1:%d)/", word, s.Port), "busy", 0},
		"option":   {fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/?timeout=%s", word, s.Port, word), "failed", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := watch(t, export{config: fmt.Sprintf("mysql: [{name: main, dsn: %q}]\n", test.dsn)})
			eventually(t, 20*time.Second, func() error {
				m := x.scrape(t)
				s, err := x.status()
				return all(err, s.lacks("mysql", test.reason), m.want(test.up, "resp_up", "component=mysql:main"), m.want(0, "resp_collector_available", "collector=mysql", "reason="+test.reason))
			})
			for range 10 {
				x.scrape(t)
			}
			if n := x.lackLines("mysql"); n > 2 {
				t.Errorf("%d lines of the log are about it", n)
			}
			silent(t, x)
			if test.up == 0 {
				return
			}
			var m metrics
			eventually(t, 10*time.Second, func() error { // without the right
				m = x.scrape(t)
				return all(m.has("resp_mysql_connections"), m.has("resp_mysql_ping_seconds"))
			})
			if m.has("resp_mysql_longest_query_seconds") == nil || m.has("resp_mysql_lock_waits") == nil {
				t.Error("what cannot be seen is there")
			}
		})
	}
}

// TestMySQLIsFull checks that a server without a free connection is busy, and that the
// exporter's existing connection continues.
func TestMySQLIsFull(t *testing.T) {
	t.Parallel()
	s := database(t)
	section := mysqlSection(t, "main", s)
	early := watch(t, export{config: section})
	eventually(t, 20*time.Second, func() error { return early.scrape(t).want(1, "resp_up", "component=mysql:main") })
	execute(t, s, "SET GLOBAL max_connections = 10")
	for range 9 {
		client(t, s)
	}
	late := watch(t, export{config: section})
	eventually(t, 20*time.Second, func() error {
		m := late.scrape(t)
		return all(m.want(0, "resp_up", "component=mysql:main"), m.want(0, "resp_collector_available", "collector=mysql", "reason=busy"))
	})
	eventually(t, 10*time.Second, func() error {
		m := early.scrape(t)
		return all(m.want(1, "resp_up", "component=mysql:main"), m.want(10, "resp_mysql_connections"))
	})
}

// TestMySQLPasswordRotation checks that a new password in the file is used at the next
// connect, without a restart.
func TestMySQLPasswordRotation(t *testing.T) {
	t.Parallel()
	s := database(t)
	file := passwordFile(t)
	x := watch(t, export{config: fmt.Sprintf("mysql: [{name: main, dsn: \"resp@unix(%s)/\", password_file: %s}]\n", s.Socket, file)})
	eventually(t, 20*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=mysql:main") })
	execute(t, s, "SET PASSWORD FOR 'resp'@'localhost' = PASSWORD('another'); KILL USER 'resp'")
	refused := func() error {
		return x.scrape(t).want(0, "resp_collector_available", "collector=mysql", "reason=permission")
	}
	eventually(t, 10*time.Second, refused)
	quiet(t, 3*time.Second, 200*time.Millisecond, "the login is refused while the pause between two tries grows", refused)
	write(t, file, "another")
	eventually(t, 2*time.Second, func() error { return x.scrape(t).want(1, "resp_up", "component=mysql:main") })
}

// TestMySQLFallback checks that the first fallback that answers is used while the primary
// does not.
func TestMySQLFallback(t *testing.T) {
	t.Parallel()
	s := database(t)
	x := watch(t, export{config: fmt.Sprintf(`mysql: [{name: main, dsn: "resp@tcp(127.0.0.1:%d)/", password_file: %s, fallback_dsns: ["resp@tcp(127.0.0.1:%d)/", "resp@unix(%s)/"]}]`+"\n",
		freePort(t), passwordFile(t), freePort(t), s.Socket)})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		return all(m.want(1, "resp_up", "component=mysql:main"), m.want(2, "resp_mysql_fallback", "mysql=main"))
	})
	silent(t, x)
}

// TestMySQLTLS checks TLS by the DSN: an untrusted certificate is refused, unless the DSN
// skips the verification.
func TestMySQLTLS(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	certificate(t, dir)
	s := database(t, "--ssl-cert="+filepath.Join(dir, "cert.pem"), "--ssl-key="+filepath.Join(dir, "key.pem"))
	execute(t, s, "ALTER USER 'resp'@'127.0.0.1' REQUIRE SSL")
	dsn := fmt.Sprintf("resp:%s@tcp(127.0.0.1:%d)/?tls=", word, s.Port)
	x := watch(t, export{config: fmt.Sprintf("mysql: [{name: looks, dsn: \"%strue\"}, {name: trusts, dsn: \"%sskip-verify\"}]\n", dsn, dsn)})
	eventually(t, 20*time.Second, func() error {
		m := x.scrape(t)
		s, err := x.status()
		return all(err, s.lacks("mysql", "failed", "looks"), m.want(0, "resp_up", "component=mysql:looks"), m.want(1, "resp_up", "component=mysql:trusts"), m.has("resp_mysql_connections", "mysql=trusts"))
	})
	silent(t, x)
}
