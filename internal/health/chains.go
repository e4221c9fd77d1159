package health

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// chainOf returns the chain of which a worker is a victim or the root; nil: there is
// none that says more than for which server or address it waits.
func (e *evaluator) chainOf(app, slot string) *model.Chain {
	is := func(l model.Link) bool { return l.App == app && l.Slot == slot && slot != "" }
	for i := range e.State.Chains {
		c := &e.State.Chains[i]
		if !namesRoot(c) {
			continue
		}
		roots := c.Links[len(c.Links)-1:]
		if c.Deadlock {
			roots = c.Links
		}
		if slices.ContainsFunc(c.Victims, is) || slices.ContainsFunc(roots, is) {
			return c
		}
	}
	return nil
}

// chainOn returns the first chain whose victims wait for a server, or whose root is a
// connection to it; nil: there is none that names the root.
func (e *evaluator) chainOn(server string) *model.Chain {
	i := slices.IndexFunc(e.State.Chains, func(c model.Chain) bool {
		return namesRoot(&c) && (c.Peer == server || c.Links[len(c.Links)-1].Server == server)
	})
	if i < 0 {
		return nil
	}
	return &e.State.Chains[i]
}

// namesRoot reports whether a chain ends at a worker or a connection, or is a
// deadlock. Of others the advice about the server or the address says more.
func namesRoot(c *model.Chain) bool {
	if len(c.Links) == 0 {
		return false
	}
	root := &c.Links[len(c.Links)-1]
	return c.Deadlock || root.Slot != "" || root.Connection != 0
}

// chainAdvice returns the line about a chain, for the workers of an app; "" stands for
// the app with most victims.
func chainAdvice(c *model.Chain, app string) advice {
	return advice{rankRoot, diagnosis.Cause(c), diagnosis.Sentence(c, app) + " " + diagnosis.Advice(c)}
}

// withChain returns the advice about a pool after that about what its app's workers
// wait for on its server.
func (e *evaluator) withChain(app, pool string, own adviser) adviser {
	i := slices.IndexFunc(e.Parts, func(p Part) bool { return p.App == app && p.Component == "pool" && p.Name == pool })
	if i < 0 {
		return own
	}
	c := e.chainOn(e.Parts[i].Store)
	if c == nil || !slices.ContainsFunc(slices.Concat(c.Victims, c.Links), func(l model.Link) bool { return l.App == app }) {
		return own
	}
	return func(since time.Duration) []advice {
		out := []advice{chainAdvice(c, app)}
		if own != nil {
			out = append(out, own(since)...)
		}
		return out
	}
}
