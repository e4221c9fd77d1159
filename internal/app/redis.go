package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// redisServers holds one connection for each configured Redis. A reload that
// does not change a server keeps its connection.
type redisServers struct {
	log *slog.Logger

	mu   sync.Mutex
	have map[config.Redis]redisServer
	list []collectors.RedisTarget
}

// redisServer is one connection, and what remembers of its queues from one read to the next.
type redisServer struct {
	*redis.Server

	queues *tasks.Reader
}

// connection returns a section of Redis without the settings that do not matter for the
// connection, so that two can be compared.
func connection(r config.Redis) config.Redis {
	r.Cache = ""
	return r
}

func newRedisServers(log *slog.Logger) *redisServers { return &redisServers{log: log} }

// apply sets the configured servers and closes those that are not configured any more.
// One with the same connection stays; a new one connects at its first read.
func (r *redisServers) apply(cfg *config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have := make(map[config.Redis]redisServer, len(cfg.Redis))
	r.list = nil
	for _, section := range cfg.Redis {
		cache := cfg.IsCache(section.Name)
		section = connection(section)
		server, known := r.have[section]
		if !known {
			u, err := config.ParseRedisURL(section.URL)
			if err != nil { // the check of the configuration does the same
				r.log.Error("Redis cannot be queried", "redis", section.Name, "err", fmt.Errorf("url: %w", err))
				continue
			}
			opened := redis.Open(redis.Options{URL: u, PasswordFile: section.PasswordFile})
			server = redisServer{opened, tasks.NewReader(opened)}
		}
		have[section] = server
		r.list = append(r.list, collectors.RedisTarget{Name: section.Name, Server: server.Server, Stateful: !cache})
	}
	for section, server := range r.have {
		if have[section] != server {
			r.end(section.Name, server)
		}
	}
	r.have = have
}

// end closes a server, and logs an error.
func (r *redisServers) end(name string, server redisServer) {
	if err := server.Close(); err != nil {
		r.log.Debug("Connection not closed cleanly", "redis", name, "err", err)
	}
}

// targets returns the servers for the collector.
func (r *redisServers) targets() []collectors.RedisTarget {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// server returns the server of a name; nil if there is none.
func (r *redisServers) server(name string) *redis.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	for section, server := range r.have {
		if section.Name == name {
			return server.Server
		}
	}
	return nil
}

// Run closes the connections when ctx ends, and returns nil. The closed servers stay in
// the list, so that a last scrape finds them and connects to none.
func (r *redisServers) Run(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	for section, server := range r.have {
		r.end(section.Name, server)
	}
	return nil
}
