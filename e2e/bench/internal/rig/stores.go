package rig

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// Password is that of the users of both servers.
const Password = "cost-of-a-look"

// Stores are the MariaDB and the Redis that are scraped.
type Stores struct {
	MySQL *mariadb.Server
	Redis *run.Proc
	Port  int // of Redis
}

// Stores starts both servers. What it returns besides an error is to be stopped.
func (r *Rig) Stores(ctx context.Context, connections int) (*Stores, error) {
	server, err := mariadb.Start(ctx, r.Dir, fmt.Sprintf("--max-connections=%d", connections+40))
	if server == nil {
		return nil, err
	}
	s := &Stores{MySQL: server}
	if err == nil {
		err = s.startRedis(ctx, r)
	}
	return s, err
}

// Stop ends MariaDB; the rig ends Redis.
func (s *Stores) Stop() { s.MySQL.Stop() }

// ClientFile writes the options with which mysqld_exporter logs in, and returns the path.
func (s *Stores) ClientFile(r *Rig) (string, error) {
	return r.Write("my.cnf", fmt.Sprintf("[client]\nuser=resp\npassword=%s\nhost=127.0.0.1\nport=%d\n", Password, s.MySQL.Port))
}

// startRedis starts a Redis with the user of docs/redis.md.
func (s *Stores) startRedis(ctx context.Context, r *Rig) error {
	path, err := Find("redis-server", "apt-get install redis-server")
	if err != nil {
		return err
	}
	if s.Port, err = run.FreePort(0); err != nil {
		return err
	}
	s.Redis, err = r.Start(ctx, run.Spec{Name: "redis-server", Path: path, Args: []string{
		"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--appendonly", "no",
		"--user", "resp", "on", ">" + Password, "+ping", "+info", "+client|setname",
	}}, "")
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := exec.CommandContext(ctx, "redis-cli", "-p", strconv.Itoa(s.Port), "PING").CombinedOutput() //nolint:gosec // a server of our own
		if err == nil && strings.HasPrefix(string(out), "PONG") {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("redis does not answer: %w: %s", err, out)
		}
	}
}

// Hold opens connections, the first of them in a transaction each.
func (s *Stores) Hold(ctx context.Context, connections, transactions int) ([]*sql.Conn, error) {
	if err := s.MySQL.Exec(strings.ReplaceAll(mariadb.Grants, "PASSWORD", Password) +
		"; CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); CREATE USER 'resp_app'@'%' IDENTIFIED BY '" + Password + "'; GRANT ALL ON shop.* TO 'resp_app'@'%'"); err != nil {
		return nil, err
	}
	db, err := s.MySQL.OpenTCP("resp_app", Password)
	if err != nil {
		return nil, err
	}
	held := make([]*sql.Conn, 0, connections)
	for i := range connections {
		conn, err := db.Conn(ctx)
		if err != nil {
			return held, fmt.Errorf("connection %d: %w", i, err)
		}
		held = append(held, conn)
		if i >= transactions {
			continue
		}
		for _, statement := range []string{"START TRANSACTION", fmt.Sprintf("INSERT INTO shop.orders VALUES (%d)", i)} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return held, fmt.Errorf("transaction %d: %w", i, err)
			}
		}
	}
	return held, nil
}

// Release closes them.
func Release(held []*sql.Conn) error {
	var errs []error
	for _, c := range held {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
