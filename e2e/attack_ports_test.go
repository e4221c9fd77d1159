package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/e2e/internal/mariadb"
)

// localPortRange is IP_LOCAL_PORT_RANGE of linux/in.h (Linux 6.3): a client's own port is
// one of this range, also one that is connected to another address.
const localPortRange = 51

// clientFrom is a connection of the app's database user that is not the app's, to a port
// of the server, from that port of its own.
func clientFrom(t *testing.T, to, own int) *sql.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, localPortRange, own<<16|own) })
		return err
	}}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = "shop", "shop", "tcp", fmt.Sprintf("127.0.0.1:%d", to)
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, network, addr)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("from port %d to %d: %v", own, to, err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = db.Close() })
	return conn
}

// proxied forwards connections to a port, and returns its own port and the ports of its
// clients so far.
func proxied(t *testing.T, to int) (port int, clients func() []int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	var mu sync.Mutex
	var ports []int
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			ports = append(ports, c.RemoteAddr().(*net.TCPAddr).Port)
			mu.Unlock()
			go func() {
				defer func() { _ = c.Close() }()
				s, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
				if err != nil {
					return
				}
				defer func() { _ = s.Close() }()
				go func() { _, _ = io.Copy(s, c); _ = s.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(c, s)
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ports)
	}
}

// clientPort reads the port of the client of a connection.
func clientPort(t *testing.T, s *mariadb.Server, id uint64) (port int) {
	t.Helper()
	db, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var host string
	if err := db.QueryRowContext(t.Context(), "SELECT HOST FROM information_schema.processlist WHERE ID = ?", id).Scan(&host); err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(host[strings.LastIndexByte(host, ':')+1:]); err != nil {
		t.Fatal(err)
	}
	return port
}

// TestAttackPortOfTheApp checks that a connection of the app's database user is not taken
// for the app's, and not ended, because its client has the port of a connection of the
// app: at another port of the server, and beside a proxy through which the app connects.
func TestAttackPortOfTheApp(t *testing.T) {
	t.Parallel()
	extra := freePort(t)
	s := database(t, "--innodb-lock-wait-timeout=600", fmt.Sprintf("--extra-port=%d", extra), "--extra-max-connections=20")
	healProcedures(t, s)
	allow(t, s)
	proxy, clients := proxied(t, s.Port)
	for name, c := range map[string]struct {
		through, to int // the app's port of the server, and that of the other client
	}{
		"another port of the server": {s.Port, extra},
		"beside a proxy":             {proxy, s.Port},
	} {
		t.Run(name, func(t *testing.T) {
			shop := holder(t, 1, fmt.Sprintf("127.0.0.1:%d", c.through), launch{env: []string{"POOL_OPEN=2"}})
			var own int
			eventually(t, 30*time.Second, func() error {
				if c.through == proxy {
					if list := clients(); len(list) > 0 {
						own = list[len(list)-1]
						return nil
					}
				} else if ids := present(t, s); len(ids) > 0 {
					own = clientPort(t, s, ids[len(ids)-1])
					return nil
				}
				return fmt.Errorf("the app has no connection")
			})
			config := "monitoring_interval: 1s\n" + strings.Replace(mysqlSection(t, "main", s), fmt.Sprintf("127.0.0.1:%d", s.Port), fmt.Sprintf("127.0.0.1:%d", c.through), 1) + joined("apps:",
				fmt.Sprintf("  - {name: shop, match: {cmdline: %q}, pools: [{name: main, mysql: main, user: shop}]}", shop.name+":app"))
			h := healer(t, config,
				"    - name: blocking", "      match: {alertname: Blocked}", "      cooldown: 20s", "      steps:", "        - action: kill_blocking_transaction",
				"          with: {min_idle: 2s, min_blocked: 1, max_victims: 5, max_trx_rows: 100, procedure: resp_heal.kill_idle}", "          verify_within: 20s")
			other := clientFrom(t, c.to, own)
			id := connectionID(t, other)
			do(t, other, "START TRANSACTION", "UPDATE shop.orders SET paid = 1 WHERE id = 2")
			waiter := client(t, s)
			waits := connectionID(t, waiter)
			background(t, waiter, "UPDATE shop.orders SET paid = 2 WHERE id = 2")
			blockedBy(t, s, waits, id)
			unchanged(t, s, 2*time.Second, id)
			if got := clientPort(t, s, id); got != own {
				t.Fatalf("the client has port %d, want %d", got, own)
			}
			eventually(t, 30*time.Second, func() error { return h.scrape(t).want(1, "resp_up", "component=app:shop") })
			before := present(t, s)
			h.reported(t, "Blocked", "app=shop", "pool=main")
			last := h.ends(t, "blocking")
			if gone := without(before, present(t, s)); len(gone) > 0 || last.Done != 0 || last.State != "refused" {
				t.Errorf("gone are %v, the other client's is %d: %s, done %d, %s", gone, id, last.State, last.Done, last.Reason)
			}
			_ = other.Close()
		})
	}
}
