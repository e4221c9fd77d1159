package app

import (
	"context"
	"log/slog"
	"reflect"
	"sync"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

// mysqlServers holds one connection for each configured MySQL server. A reload
// that does not change a server keeps its connection.
type mysqlServers struct {
	log *slog.Logger

	mu   sync.Mutex
	have []mysqlServer
	done bool
}

type mysqlServer struct {
	section config.MySQL
	server  *mysql.Server
}

func newMySQLServers(log *slog.Logger) *mysqlServers { return &mysqlServers{log: log} }

// apply sets the configured servers and closes those that are not configured any more.
// One with the same section stays connected; a new one connects at its first read.
func (m *mysqlServers) apply(sections []config.MySQL) {
	m.mu.Lock()
	before := m.have
	m.have = nil
	if !m.done {
		for _, section := range sections {
			m.have = append(m.have, mysqlServer{section, nil})
		}
	}
	var gone []*mysql.Server
	for _, b := range before {
		if !m.keep(b) {
			gone = append(gone, b.server)
		}
	}
	for i := range m.have {
		if h := &m.have[i]; h.server == nil {
			h.server = mysql.Open(mysql.Options{
				Name: h.section.Name, DSN: h.section.DSN, Fallbacks: h.section.FallbackDSNs, PasswordFile: h.section.PasswordFile, Logger: m.log,
			})
		}
	}
	m.mu.Unlock()
	for _, s := range gone {
		s.Close()
	}
}

// keep passes the server of b to the new section that equals its own. It reports whether
// there is one; if not, the caller closes the server.
func (m *mysqlServers) keep(b mysqlServer) bool {
	for i := range m.have {
		if h := &m.have[i]; h.server == nil && reflect.DeepEqual(h.section, b.section) {
			h.server = b.server
			return true
		}
	}
	return false
}

// targets returns the servers for the collector, in the order of the configuration.
func (m *mysqlServers) targets() []collectors.MySQLTarget {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]collectors.MySQLTarget, len(m.have))
	for i, h := range m.have {
		out[i] = collectors.MySQLTarget{Name: h.section.Name, Server: h.server}
	}
	return out
}

// mysqlTargets returns the servers for the collector, with the database users of the apps.
func (a *parts) mysqlTargets() []collectors.MySQLTarget {
	out := a.mysql.targets()
	cfg := a.config.Load()
	for i := range out {
		out[i].Users = cfg.PoolUsers(out[i].Name)
	}
	return out
}

// server returns the server of that name; nil if there is none.
func (m *mysqlServers) server(name string) *mysql.Server {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.have {
		if h.section.Name == name {
			return h.server
		}
	}
	return nil
}

// Run waits until ctx ends, then closes the connections for good; it returns nil.
func (m *mysqlServers) Run(ctx context.Context) error {
	<-ctx.Done()
	m.mu.Lock()
	m.done = true
	m.mu.Unlock()
	m.apply(nil)
	return nil
}
