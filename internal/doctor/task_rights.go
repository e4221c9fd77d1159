package doctor

import (
	"context"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery/match"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// taskRights adds what restart_task lacks for the workers of queues: the rights to read and
// to signal the processes of their user, and to list the connections of their Redis.
func (d *doctor) taskRights(ctx context.Context) {
	if d.Config.Healing.Mode == config.HealOff {
		return
	}
	for _, s := range stepsOf(d.Config.Healing) {
		if s.RestartTask == nil {
			continue
		}
		for _, q := range d.queuesOf(s.RestartTask) {
			d.mayRestart(q)
			d.listsClients(ctx, q.tasks.Redis)
		}
	}
}

// mayRestart adds a finding if the exporter may not end the workers of queues, which run as
// the user of the configuration, else as the workers of their app, or if that user is not
// known: then the action refuses.
func (d *doctor) mayRestart(q ownedQueues) {
	user := q.tasks.User
	if user == "" {
		user = q.app.Match.User
	}
	owner := -1
	if user != "" {
		uid, known := match.LookupUID(user)
		if !known {
			d.lacks(q.perhaps, "app:"+q.app.Name, collectors.NotFound, "restart_task: the user of the workers of a queue of "+q.app.Name+" does not exist on this host", "")
			return
		}
		owner = int(uid)
	} else if a := d.appOf(q.app.Name); a != nil && a.Up {
		owner = int(a.UID)
		if len(a.Workers) > 0 {
			owner = d.realUser(a.Workers[0].PID, owner)
		}
	}
	switch owner {
	case -1:
		d.add("heal", Finding{
			Of: "app:" + q.app.Name, Reason: collectors.NotFound,
			Detail: "restart_task: no process of " + q.app.Name + " is found, so the user of the workers of its queues is not known",
			Remedy: []string{"set apps[].tasks[].user of " + q.app.Name},
		})
		return
	case d.who.uid:
		return
	}
	var missing []string
	for _, c := range []struct {
		bit  uint
		name string
	}{{unix.CAP_KILL, "CAP_KILL"}, {unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}, {unix.CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"}} {
		if !hasCapability(c.bit) {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		d.lacks(q.perhaps, "app:"+q.app.Name, collectors.Permission, "restart_task: the exporter may not read and signal the workers of the queues of "+q.app.Name,
			"run the exporter as "+userName(owner)+", or add "+strings.Join(missing, " ")+" to AmbientCapabilities= and CapabilityBoundingSet= of its unit")
	}
}

// listsClients adds a note if the exporter's user may not list the connections of a Redis.
// Without that a worker behind a proxy is not proved.
func (d *doctor) listsClients(ctx context.Context, name string) {
	server := d.Redis(name)
	if server == nil {
		return
	}
	hidden := ""
	err := server.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		at, err := server.State(ctx, l)
		hidden = at.Hidden
		return err
	})
	if err != nil || !strings.Contains(hidden, redis.Placeholder) { // the section redis has the error
		return
	}
	d.add("heal", Finding{
		Of: "redis:" + name, Reason: collectors.Permission, Remedy: d.relayRemedy(ctx, name),
		Detail: "restart_task: the exporter's user may not list the connections of redis " + name + ", so a worker counts as one of its queues only by a connection to the same address",
	})
}
