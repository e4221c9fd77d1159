package diagnosis

import (
	"cmp"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// chain returns the chain of a group: its victims, the longest wait first, and the
// parties from them to the root. It has no links if nothing is waited for.
func (g *graph) chain(k *group) model.Chain {
	slices.SortStableFunc(k.paths, func(a, b path) int { return g.byWait(a.thread, b.thread) })
	app := g.appOf(k)
	first := g.firstOf(k, app)
	s := first.steps[0]
	c := model.Chain{
		App: app, On: g.threads[first.thread].On, Peer: s.peer, Kind: s.kind, Object: s.object,
		Workers: len(g.byApp[app]), Seconds: k.longest, Deadlock: first.circle >= 0,
	}
	for i := range k.paths {
		c.Victims = append(c.Victims, g.link(node{sort: ofThread, index: k.paths[i].thread}, nil))
	}
	c.Links, c.Left = g.links(first)
	return c
}

// appOf returns the app with most victims in a group; of several with as many, the one
// that is farthest from the root.
func (g *graph) appOf(k *group) string {
	victims, farthest := make(map[string]int), make(map[string]int)
	app := g.threads[k.paths[0].thread].app
	for i := range k.paths {
		a := g.threads[k.paths[i].thread].app
		victims[a]++
		farthest[a] = max(farthest[a], len(k.paths[i].steps))
	}
	for a := range victims {
		if cmp.Or(cmp.Compare(victims[a], victims[app]), cmp.Compare(farthest[a], farthest[app]), strings.Compare(app, a)) > 0 {
			app = a
		}
	}
	return app
}

// firstOf returns the path with most steps of an app's victims; of several the one whose
// victim has waited longest. nil: the app has no victim in the group.
func (g *graph) firstOf(k *group, app string) *path {
	var first *path
	for i := range k.paths {
		p := &k.paths[i]
		if g.threads[p.thread].app != app {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(len(p.steps), len(first.steps)), cmp.Compare(p.seconds, first.seconds)) > 0 {
			first = p
		}
	}
	return first
}

// links returns the parties of a path, at most maxLinks, the root last. left is how many
// before the root are left out. Of a circle it returns the parties in it, each once.
func (g *graph) links(p *path) (out []model.Link, left int) {
	steps := p.steps
	if p.circle >= 0 {
		steps = steps[p.circle:]
		i := slices.IndexFunc(steps, func(s *step) bool { return s.to == p.end })
		steps = slices.Concat(steps[i:], steps[:i])
	}
	for i, s := range steps {
		next := steps[(i+1)%len(steps)]
		if s.to.sort == ofApp && len(steps) > 1 && next.to.sort == ofThread && (i+1 < len(steps) || p.circle >= 0) {
			continue // its worker follows
		}
		out = append(out, g.link(s.to, s))
	}
	if len(out) > maxLinks {
		left = len(out) - maxLinks
		out = append(out[:maxLinks-1], out[len(out)-1])
	}
	return out, left
}

// link returns what is known of a party. s is the step that leads to it; nil for a
// victim.
func (g *graph) link(n node, s *step) model.Link {
	var l model.Link
	switch n.sort {
	case ofThread:
		g.fillThread(&l, n.index)
	case ofProcess:
		w := &g.workers[n.index]
		l.App, l.Slot, l.PID = w.app, w.Slot, w.PID
		if n.id != 0 {
			g.fillThread(&l, int(n.id-1))
		}
	case ofApp:
		l.App = n.name
		l.Candidates = len(g.inHandOf(n.name))
	case ofPlace:
		if strings.HasPrefix(n.name, "mysql:") || strings.HasPrefix(n.name, "redis:") {
			l.Server = n.name
		} else {
			l.Peer = n.name
		}
	case ofHolder:
		g.fillHolder(&l, n.name)
	case ofConnection:
		if i := g.threadOf(n.key()); n.kind == likely && i >= 0 {
			g.fillThread(&l, i)
			g.fillStatement(&l, n.key())
		} else {
			g.fillConnection(&l, n.key())
		}
	}
	if s == nil {
		return l
	}
	if l.Probable = s.probable; s.candidates > 0 {
		l.Candidates = s.candidates
	}
	if s.connection != (key{}) && n.sort == ofThread {
		g.fillStatement(&l, s.connection)
	}
	return l
}

// fillThread sets in l what is known of a thread, of its worker, and of the connection on
// which it waits.
func (g *graph) fillThread(l *model.Link, i int) {
	t := &g.threads[i]
	w := &g.workers[t.worker]
	l.App, l.Slot, l.PID, l.TID = t.app, w.Slot, w.PID, t.TID
	l.On, l.Peer, l.Seconds, l.Stack = t.On, t.Peer, t.Seconds, t.Stack
	if k, ok := g.uses[i]; ok {
		g.fillStatement(l, k)
	}
	if s := g.next(node{sort: ofThread, index: i}); s != nil {
		l.Object = s.object
	}
}

// fillConnection sets in l what is known of a connection that no thread uses: its worker,
// or if it belongs to no watched app, its user and host.
func (g *graph) fillConnection(l *model.Link, k key) {
	g.fillStatement(l, k)
	c := g.connections[k]
	if c != nil {
		g.fillOwner(l, c)
	}
	if w := g.waits[k]; w != nil {
		l.On, _, _ = strings.Cut(k.server, ":")
		l.Peer, l.Seconds, l.Object = k.server, w.Seconds, w.Object
	}
}

// fillOwner sets the worker of a connection in a link, or the connection's own user and
// host if the worker is not known.
func (g *graph) fillOwner(l *model.Link, c *model.StoreConnection) {
	l.Seconds = c.Seconds
	if i := g.ownerOf(c); i >= 0 {
		w := &g.workers[i]
		l.App, l.Slot, l.PID = w.app, w.Slot, w.PID
	} else {
		l.App, l.Slot, l.PID, l.User, l.Host = c.App, c.Slot, c.PID, c.User, c.Host
	}
}

// fillStatement sets in l a connection, with its command, statement and transaction if
// these are known.
func (g *graph) fillStatement(l *model.Link, k key) {
	l.Server, l.Connection = k.server, k.id
	if c := g.connections[k]; c != nil {
		l.Command, l.Digest, l.Transaction = c.Command, c.Digest, c.Transaction
	}
}

// fillHolder sets in l who has most connections of a full MySQL server; only the server
// if that is not known.
func (g *graph) fillHolder(l *model.Link, server string) {
	l.Server = server
	if m := g.mysqlServer(server); m != nil && len(m.Holders) > 0 {
		h := &m.Holders[0]
		l.App, l.User, l.Host, l.Held = h.App, h.User, h.Host, h.Connections
	}
}
