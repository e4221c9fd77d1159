package app

import (
	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// tasks returns the configured background tasks, each with the reader of its Redis. One
// whose server is not there, as during a reload, is left out.
func (a *parts) tasks() []collectors.TaskTarget {
	readers := a.redis.readers()
	var out []collectors.TaskTarget
	for _, app := range a.config.Load().Apps {
		for _, t := range app.Tasks {
			// While a reload is under way a server may not be there yet, or any more.
			if r := readers[t.Redis]; r != nil {
				out = append(out, collectors.TaskTarget{App: app.Name, Type: t.Type, Redis: t.Redis, Queues: t.Names(), Server: r})
			}
		}
	}
	return out
}

// readers returns the reader of queues of each server, by the server's name in
// the configuration.
func (r *redisServers) readers() map[string]*tasks.Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]*tasks.Reader, len(r.have))
	for section, s := range r.have {
		out[section.Name] = s.queues
	}
	return out
}
