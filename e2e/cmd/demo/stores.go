package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// dbUsers are the statements that create the shop's users in MariaDB. The RQ workers
// have their own user, so that their connections do not count as the pool's.
const dbUsers = `CREATE USER 'shop'@'127.0.0.1' IDENTIFIED BY 'SHOP_PASSWORD';
CREATE USER 'jobs'@'127.0.0.1' IDENTIFIED BY 'JOBS_PASSWORD';
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'shop'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.* TO 'jobs'@'127.0.0.1';`

// timeOfQueries is the right of docs/mysql.md for the time that queries take.
const timeOfQueries = `GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO 'resp'@'127.0.0.1'`

// The rights of the users in Redis.
const (
	// The exporter's user, as docs/redis.md has it: what every one needs, what
	// the sessions do, and what RQ's queues do; then what an action needs.
	respRights = "+ping +info +client|setname" +
		" +scan +ttl +memory|usage %R~session:*" +
		" +llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget %R~rq:*" +
		" +object|idletime +expire ~session:* +client|list" // of docs/actions.md, for purge_sessions and restart_task
	// The shop's own: its keys and those of RQ, whose workers also look up their
	// address and are told by a channel when to stop a job.
	shopRights = "~session:* ~shop:* ~rq:* &rq:* +@all -@admin -@dangerous +info +client|setname +client|list"
)

// visitors creates sessions as the shop does: of earlier today, each with another expiry.
const (
	earlier  = 1500
	visitors = `EVAL "for i = 1, %d do redis.call('SET', 'session:visitor-' .. i, '{}', 'EX', 3600 + i) end return redis.status_reply('done')" 0`
)

// startMariaDB starts a MariaDB with the shop's tables and users, and what
// the actions need.
func (s *stack) startMariaDB(ctx context.Context) error {
	schema, err := os.ReadFile(filepath.Join(s.shopDir, "schema.sql"))
	if err != nil {
		return fmt.Errorf("the shop's tables: %w", err)
	}
	dir := filepath.Join(s.dir, "db")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("directory of mariadbd: %w", err)
	}
	server, err := mariadb.Start(ctx, dir, "--performance-schema=ON")
	if server != nil && server.Proc() != nil {
		s.add(&s.stores, server.Proc())
		s.watch(server.Proc())
	}
	if err != nil {
		return err
	}
	s.db.address = fmt.Sprintf("127.0.0.1:%d", server.Port)
	users := strings.NewReplacer("'PASSWORD'", quoted(s.db.secret["resp"]), "'SHOP_PASSWORD'", quoted(s.db.secret["shop"]), "'JOBS_PASSWORD'", quoted(s.db.secret["jobs"]))
	for _, sql := range []string{string(schema), users.Replace(mariadb.Grants + "\n" + dbUsers), timeOfQueries} {
		if err := server.Exec(sql); err != nil {
			return fmt.Errorf("tables and users of mariadbd: %w", err)
		}
	}
	// The file that ships, by the client that docs/actions.md names: it knows DELIMITER.
	file, err := os.Open(s.healSQL)
	if err != nil {
		return fmt.Errorf("the procedures of the actions: %w", err)
	}
	defer func() { _ = file.Close() }()
	load := exec.CommandContext(ctx, "mariadb", "--no-defaults", "-u", "root", "-S", server.Socket) //nolint:gosec // our own server
	load.Stdin = file
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("the procedures of the actions: %w\n%.2000s", err, out)
	}
	if err := server.Exec("INSERT INTO resp_heal.allowed VALUES ('shop')"); err != nil {
		return fmt.Errorf("the procedures of the actions: %w", err)
	}
	return nil
}

func quoted(secret string) string { return "'" + secret + "'" }

// startRedis starts a Redis that saves nothing and knows only our two users.
func (s *stack) startRedis(ctx context.Context) error {
	port, err := run.FreePort(0)
	if err != nil {
		return err
	}
	acl, err := s.write("users.acl", fmt.Sprintf("user default off\nuser resp on >%s %s\nuser shop on >%s %s\n",
		s.cache.secret["resp"], respRights, s.cache.secret["shop"], shopRights))
	if err != nil {
		return err
	}
	s.cache.address = fmt.Sprintf("127.0.0.1:%d", port)
	p, err := run.Start(run.Spec{
		Name: "redis-server", Path: "redis-server", Dir: s.dir, Logs: s.dir,
		Args: []string{
			"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
			"--aclfile", acl, "--maxmemory", "64mb", "--maxmemory-policy", "noeviction",
		},
	})
	if err != nil {
		return err
	}
	s.add(&s.stores, p)
	s.watch(p)
	if err := s.redisSays(ctx, p, "PING", "+PONG"); err != nil {
		return err
	}
	return s.redisSays(ctx, p, fmt.Sprintf(visitors, earlier), "+done")
}

// redisSays sends commands to Redis as the shop's user until the reply is want, p has
// ended, or ctx has.
func (s *stack) redisSays(ctx context.Context, p *run.Proc, command, want string) error {
	for {
		got, err := s.askRedis(ctx, command)
		if err == nil && got == want {
			return nil
		}
		if gone := p.Err(); gone != nil {
			return fmt.Errorf("%w\n%s", gone, p.Output(2000))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s is %q, not %q: %w\n%s", p.Name, command, got, want, err, p.Output(2000))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// askRedis returns the one line that a command answers.
func (s *stack) askRedis(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.cache.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "AUTH shop %s\r\n%s\r\n", s.cache.secret["shop"], command); err != nil {
		return "", err
	}
	lines := bufio.NewReader(c)
	var line string
	for range 2 { // the reply to AUTH, and to the command
		if line, err = lines.ReadString('\n'); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(line), nil
}
