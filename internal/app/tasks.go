package app

import (
	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// tasks returns the configured background tasks, each with the connection of
// its Redis.
func (a *parts) tasks() []collectors.TaskTarget {
	servers := a.redis.servers()
	var out []collectors.TaskTarget
	for _, app := range a.config.Load().Apps {
		for _, t := range app.Tasks {
			// While a reload is under way a server may not be there yet, or any more.
			if s := servers[t.Redis]; s != nil {
				out = append(out, collectors.TaskTarget{App: app.Name, Type: t.Type, Redis: t.Redis, Queues: t.Names(), Server: s})
			}
		}
	}
	return out
}

// servers returns each server by its name in the configuration.
func (r *redisServers) servers() map[string]*redis.Server {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]*redis.Server, len(r.have))
	for section, s := range r.have {
		out[section.Name] = s
	}
	return out
}
