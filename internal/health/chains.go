package health

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

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
	c := diagnosis.OfServer(e.State.Chains, e.Parts[i].Store)
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

// bottlenecks returns the advice about what holds up an app; "" stands for all apps.
func (e *evaluator) bottlenecks(app string) (out []given) {
	for i := range e.State.Bottlenecks {
		b := &e.State.Bottlenecks[i]
		if b.Cause == "" || app != "" && b.App != app {
			continue
		}
		out = append(out, given{advice{rankRoot, cause.ID(b), cause.Sentence(b) + " " + cause.Advice(b)}, Subject{App: b.App, Rule: "bottleneck"}})
	}
	return out
}
