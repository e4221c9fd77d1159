package restarttask

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/match"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/keyspace"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// Anybody who may write to the Redis can write an entry, and a process can choose its own
// command line or title. A process counts as a worker of a queue only by what the kernel
// and the Redis server report:
//
//   - it is in our PID namespace, and executes Python;
//   - its users and groups are uniform, and those of the app's workers or the
//     user of the configuration;
//   - it is not a process of another watched app;
//   - it holds a connection that is in CLIENT LIST of this Redis and database, under the
//     name of the entry if the connection has a name. If the list may not be read: one to
//     the address at which the exporter itself is connected, in the network namespace in
//     which that address is valid.
//
// All of it is read again with the pidfd open, right before the signal.

// maxAppProcesses bounds the processes of an app whose user is compared.
const maxAppProcesses = 64

// claim is the worker that a process is said to be.
type claim struct {
	queue queue
	at    redis.ServerState
	name  string // RQ's name of the worker; "" of Celery, whose workers have none in Redis
}

// disprove returns why a process is not believed to be a worker of its claim; zero: it is
// proved. An error means that a server or ctx failed.
func (r *Action) disprove(ctx context.Context, id procid.Identity, c claim) (action.Refusal, error) {
	same, err := procid.SamePIDs(r.d.ProcRoot, id.PID)
	if err != nil {
		return notReadable(), nil
	}
	if !same {
		return action.Refuse(action.CodeOtherNamespace, "the worker's process is in another PID namespace"), nil
	}
	p, err := procid.Read(r.d.ProcRoot, id.PID)
	switch {
	case errors.Is(err, procid.ErrGone) || errors.Is(err, procid.ErrUsers):
		return action.Refuse(action.CodeOtherProcess, "the worker's process: %s", err), nil
	case err != nil:
		return notReadable(), nil
	case p.Start != id.Start:
		return action.Refuse(action.CodeOtherProcess, "the worker's process has just been replaced"), nil
	case !isPython(p.ExePath):
		return action.Refuse(action.CodeNotWorker, "the process that is registered as a worker does not run Python"), nil
	}
	snap, err := r.d.Processes.Snapshot(ctx)
	if err != nil {
		return action.Refusal{}, err
	}
	if refused := r.otherUser(p, c.queue, snap); !refused.IsZero() {
		return refused, nil
	}
	return r.unconnected(ctx, id.PID, c)
}

// notReadable returns the refusal for a worker whose process the exporter may not read.
func notReadable() action.Refusal {
	return action.Refuse(action.CodeNotReadable, "the worker's process cannot be read: run the exporter as its user, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
}

// isPython reports whether the name of the file that a process executes begins with python or
// pypy. The kernel reports it, not the process.
func isPython(exe string) bool {
	name := filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
	return strings.HasPrefix(name, "python") || strings.HasPrefix(name, "pypy")
}

// otherUser returns why a process belongs to another app, has several users or groups, or does not
// run as the user that the configuration names for the tasks, else for the app; if it names none,
// what differsFromApp returns. zero: none of that. It is refused too if that user is not known.
func (r *Action) otherUser(p procid.Process, q queue, snap *discovery.Snapshot) action.Refusal {
	for i := range snap.Apps {
		a := &snap.Apps[i]
		if a.Name != q.app && slices.ContainsFunc(a.Processes, func(x discovery.Process) bool { return x.PID == p.PID }) {
			return action.Refuse(action.CodeOtherApp, "the worker's process belongs to app %s", a.Name)
		}
	}
	if !p.Uniform() {
		return action.Refuse(action.CodeOtherUser, "the worker's process has different real, effective or saved users or groups")
	}
	app, _ := action.FindApp(r.d.Apps(), q.app)
	user := q.user
	if user == "" {
		user = app.Match.User
	}
	if user != "" {
		uid, ok := match.LookupUID(user)
		switch {
		case !ok:
			return action.Refuse(action.CodeUserUnknown, "the user that the configuration names for the workers does not exist")
		case uid != p.UID():
			return action.Refuse(action.CodeOtherUser, "the worker's process runs as uid %d, not as the user of the configuration", p.UID())
		}
		return action.Refusal{}
	}
	return r.differsFromApp(p, q.app, snap)
}

// differsFromApp returns why the user or group of a process differs from those of the app's
// server: of its workers, if it has some, as a master may be root's. zero: neither does. It
// is refused too if one of them cannot be read, or none is left.
func (r *Action) differsFromApp(p procid.Process, app string, snap *discovery.Snapshot) action.Refusal {
	seen := 0
	for _, pid := range appProcesses(app, snap) {
		own, err := procid.Read(r.d.ProcRoot, pid)
		switch {
		case errors.Is(err, procid.ErrGone):
			continue
		case err != nil:
			return action.Refuse(action.CodeUserUnknown, "the user of the app's processes cannot be read: set apps[].tasks[].user")
		case !own.Uniform() || own.UID() != p.UID() || own.GID() != p.GID():
			return action.Refuse(action.CodeOtherUser, "the worker's process runs as uid %d, gid %d, and process %d of the app does not: if that is correct, set apps[].tasks[].user",
				p.UID(), p.GID(), pid)
		}
		seen++
	}
	if seen == 0 {
		return action.Refuse(action.CodeUserUnknown, "no process of the app runs on this host, so the worker's user cannot be checked: set apps[].tasks[].user")
	}
	return action.Refusal{}
}

// appProcesses returns at most 64 pids of the workers of an app, or of its processes if it
// has no workers; nil if it is down.
func appProcesses(app string, snap *discovery.Snapshot) (pids []int) {
	i := slices.IndexFunc(snap.Apps, func(a discovery.App) bool { return a.Name == app && a.Up })
	if i < 0 {
		return nil
	}
	for _, w := range snap.Apps[i].Workers {
		pids = append(pids, w.PID)
	}
	if len(pids) == 0 {
		for _, x := range snap.Apps[i].Processes {
			pids = append(pids, x.PID)
		}
	}
	return pids[:min(len(pids), maxAppProcesses)]
}

// unconnected returns why a process is not believed to be connected to the Redis of its
// queue, also if its sockets cannot be read; zero: it is connected. An error: ctx has ended.
func (r *Action) unconnected(ctx context.Context, pid int, c claim) (action.Refusal, error) {
	held, err := conns.ConnectionsOf(ctx, r.d.ProcRoot, pid, endpoints(c.at))
	if err != nil {
		if ctx.Err() != nil {
			return action.Refusal{}, ctx.Err()
		}
		return notReadable(), nil
	}
	return disconnected(held, c), nil
}

// maxEndpoints bounds the addresses of a server to which a worker may be connected.
const maxEndpoints = 16

// endpoints returns the ports and paths at which the server reports to be reached, each
// once, at most maxEndpoints of each kind.
func endpoints(at redis.ServerState) (e conns.Endpoints) {
	port := func(n uint16) {
		if n != 0 && !slices.Contains(e.Ports, n) && len(e.Ports) < maxEndpoints {
			e.Ports = append(e.Ports, n)
		}
	}
	path := func(s string) {
		if s != "" && !slices.Contains(e.Paths, s) && len(e.Paths) < maxEndpoints {
			e.Paths = append(e.Paths, s)
		}
	}
	port(at.Peer.Port())
	path(at.Path)
	for _, c := range at.Clients {
		port(c.To.Port())
		path(c.Path)
	}
	return e
}

// disconnected returns why the connections of a process do not prove a claim: none is in
// the server's list of clients, none of these is at its database, or they have only other
// names, or none and another client has its name; zero: they do. Where the list may not be
// read, a connection to the exporter's address is enough.
func disconnected(held conns.ProcessConnections, c claim) action.Refusal {
	if c.at.Hidden != "" {
		if !reaches(held, c.at) {
			return action.Refuse(action.CodeNotConnected, "the worker's process has no connection to the address that the exporter uses for the Redis; %s", c.at.Hidden)
		}
		return action.Refusal{}
	}
	found, inDB := false, false
	var names []string
	taken := false // another client has the name
	for _, x := range c.at.Clients {
		if !isClient(held, c, x) {
			taken = taken || x.Name == c.name
			continue
		}
		found, inDB = true, inDB || x.DB == c.at.DB
		if x.Name != "" {
			names = append(names, x.Name)
		}
	}
	switch {
	case !found && held.Unproven > 0:
		return action.Refuse(action.CodeOtherNetwork, "the worker's process is in a network namespace whose addresses prove nothing, such as a rootless container")
	case !found:
		return action.Refuse(action.CodeNotListed, "the worker's process has no connection in the CLIENT LIST of the Redis: it uses another Redis, or a proxy")
	case !inDB:
		return action.Refuse(action.CodeOtherDatabase, "the worker's process is connected to another database of the Redis")
	case c.name == "" || slices.Contains(names, c.name):
		return action.Refusal{}
	case len(names) > 0:
		return action.Refuse(action.CodeOtherClientName, "the worker's process has another client name (CLIENT LIST) than its entry in Redis")
	case taken:
		return action.Refuse(action.CodeClientNameTaken, "another process has the client name (CLIENT LIST) of the worker's entry in Redis")
	}
	return action.Refusal{}
}

// reaches reports whether a process holds a connection to the address to which
// the exporter itself is connected. One of the host's own addresses means the
// same server in our network namespace only.
func reaches(held conns.ProcessConnections, at redis.ServerState) bool {
	for _, s := range held.List {
		if at.Path != "" && s.Path == at.Path {
			return true
		}
		if at.Peer.IsValid() && s.Remote == at.Peer && (held.OurNet || !conns.IsOwnAddress(at.Peer.Addr())) {
			return true
		}
	}
	return false
}

// isClient reports whether a client of the list is a connection of the process: their local ends
// are the same, and the remote end is the client's or the address that the exporter uses. On a
// loopback that is a proof only where process, exporter and server share it. Of UNIX sockets the
// paths must agree, and the claim's name or, if it has none, the configured path.
func isClient(held conns.ProcessConnections, c claim, x redis.Client) bool {
	near := held.OurNet && (c.at.Path != "" || conns.IsOwnAddress(c.at.Peer.Addr()))
	for _, s := range held.List {
		switch {
		case s.Path != "":
			// The list has no ends of UNIX sockets: the name must agree, or the path of the configuration.
			if s.Path == x.Path && (c.name != "" && x.Name == c.name || c.name == "" && s.Path == c.at.Path) {
				return true
			}
		case !x.Addr.IsValid() || s.Local != x.Addr || s.Remote != x.To && s.Remote != c.at.Peer:
		case near || !s.Local.Addr().IsLoopback():
			return true
		}
	}
	return false
}

// sharedQueue returns why the owner of a queue is not certain; zero if it is. Another app
// of the configuration has one of that name and kind in the same database, or that cannot
// be excluded.
func (r *Action) sharedQueue(ctx context.Context, q queue) action.Refusal {
	for _, app := range r.d.Apps() {
		for _, t := range app.Tasks {
			if app.Name == q.app || t.Type != q.kind || !slices.Contains(t.Names(), q.name) {
				continue
			}
			same, err := keyspace.Same(ctx, q.redis, t.Redis, func(ctx context.Context, name string) (string, error) {
				if s := r.d.Queues(name); s != nil {
					return s.Keyspace(ctx)
				}
				return "", keyspace.ErrNotConfigured
			})
			switch {
			case err != nil:
				return action.Refuse(action.CodeShareUnknown, "app %s has a queue with the same name, and it is not known if it is the same queue: %s", app.Name, err)
			case same:
				return action.Refuse(action.CodeSharedQueue, "app %s uses the same queue in the same Redis database: the owner of the worker is not certain", app.Name)
			}
		}
	}
	return action.Refusal{}
}

// workerName returns the name that RQ gives the worker of an entry.
func workerName(w tasks.RQWorker) string { return strings.TrimPrefix(w.Key, "rq:worker:") }
