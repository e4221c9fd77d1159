package diagnosis

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Worker names a process of an app.
type Worker struct {
	App, Slot string
	PID       int
}

// Connection names a connection of a server, such as "mysql:main".
type Connection struct {
	Server string
	ID     uint64
}

// Parties is who is to blame in the chains of a state and who is not.
type Parties struct {
	victims, roots         map[Worker]*model.Chain
	victimConns, rootConns map[Connection]*model.Chain
}

// Victims returns who is a victim and who is a root in the chains of a state, which must
// be set already. A root of one chain is a victim of none. Who waits for an address that
// is no configured store and no app of this host is no victim here: it is not seen
// whether it would ever answer.
func Victims(s *model.State) *Parties {
	p := &Parties{
		victims: make(map[Worker]*model.Chain), roots: make(map[Worker]*model.Chain),
		victimConns: make(map[Connection]*model.Chain), rootConns: make(map[Connection]*model.Chain),
	}
	for i := range s.Chains {
		p.addRoots(&s.Chains[i])
	}
	for i := range s.Chains {
		p.addVictims(&s.Chains[i])
	}
	return p
}

// addRoots adds the parties that a chain ends at, all of them in a deadlock. Probable ones
// are left out.
func (p *Parties) addRoots(c *model.Chain) {
	roots := c.Links
	if !c.Deadlock && len(roots) > 0 {
		roots = roots[len(roots)-1:]
	}
	for i := range roots {
		if !roots[i].Probable {
			add(&roots[i], c, p.roots, p.rootConns)
		}
	}
}

// addVictims adds the parties that wait in a chain.
func (p *Parties) addVictims(c *model.Chain) {
	for i := range c.Victims {
		if v := &c.Victims[i]; !unknownAddress(v) {
			p.addVictim(v, c)
		}
	}
	if c.Deadlock {
		return
	}
	for i := range c.Links[:max(len(c.Links)-1, 0)] {
		if l := &c.Links[i]; !unknownAddress(l) {
			p.addVictim(l, c)
		}
	}
}

// unknownAddress reports whether a party waits for an upstream that is no app of this host,
// or for a MySQL or Redis that is not in the configuration; false for any other wait.
func unknownAddress(l *model.Link) bool {
	switch l.On {
	case "upstream":
		return !strings.HasPrefix(l.Peer, "app:")
	case "mysql", "redis":
		return !strings.HasPrefix(l.Peer, l.On+":")
	}
	return false
}

// addVictim adds one party that waits, unless it is the root of some chain.
func (p *Parties) addVictim(l *model.Link, c *model.Chain) {
	w, k := partyOf(l)
	if p.roots[w] != nil {
		return // another thread of it, or another connection, is the root
	}
	if w.Slot != "" {
		p.victims[w] = c
	}
	if k.ID != 0 && p.rootConns[k] == nil {
		p.victimConns[k] = c
	}
}

// partyOf returns the worker and the connection of a link; their fields are zero where not
// known.
func partyOf(l *model.Link) (Worker, Connection) {
	return Worker{l.App, l.Slot, l.PID}, Connection{l.Server, l.Connection}
}

// add sets the chain of a link's worker and connection, as far as they are known.
func add(l *model.Link, c *model.Chain, workers map[Worker]*model.Chain, connections map[Connection]*model.Chain) {
	w, k := partyOf(l)
	if w.Slot != "" {
		workers[w] = c
	}
	if k.ID != 0 {
		connections[k] = c
	}
}

// Worker returns the chain of which a worker is a victim; nil if it is of none.
func (p *Parties) Worker(app, slot string, pid int) *model.Chain {
	return p.victims[Worker{app, slot, pid}]
}

// Connection returns the chain of which a connection is a victim; nil if it is of none.
func (p *Parties) Connection(server string, id uint64) *model.Chain {
	return p.victimConns[Connection{server, id}]
}

// RootWorker returns the chain of which a worker is the root, or in whose circle it is;
// nil if there is none.
func (p *Parties) RootWorker(app, slot string, pid int) *model.Chain {
	return p.roots[Worker{app, slot, pid}]
}

// RootConnection returns the chain of which a connection is the root, or in whose circle
// it is; nil if there is none.
func (p *Parties) RootConnection(server string, id uint64) *model.Chain {
	return p.rootConns[Connection{server, id}]
}

// WhyWorker returns the sentence of the chain of which a worker is a victim; "" if it is
// of none.
func (p *Parties) WhyWorker(app, slot string, pid int) string {
	return why(p.Worker(app, slot, pid), app)
}

// WhyConnection returns the sentence of the chain of which a connection is a victim; ""
// if it is of none.
func (p *Parties) WhyConnection(server string, id uint64) string {
	return why(p.Connection(server, id), "")
}

// why returns the sentence about a chain, "" for nil.
func why(c *model.Chain, app string) string {
	if c == nil {
		return ""
	}
	return Sentence(c, app)
}

// HoldsUp reports whether a worker is the root of a chain, or in its circle: others wait
// for it.
func (p *Parties) HoldsUp(app, slot string, pid int) bool {
	return p.RootWorker(app, slot, pid) != nil
}
