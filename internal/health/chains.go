package health

import (
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// chainAdvice returns the advice about a chain: what to do, for the workers of app ("":
// of the app with most victims). The line also says who waits for whom, if there is
// nothing to do, or the chain is not the first one of its app, which is in a verdict.
func (e *evaluator) chainAdvice(c *model.Chain, app string) advice {
	line := diagnosis.Advice(c)
	first := slices.IndexFunc(e.State.Chains, func(x model.Chain) bool { return x.App == c.App })
	if line == "" || &e.State.Chains[first] != c {
		line = strings.TrimSpace(diagnosis.Sentence(c, app) + " " + line)
	}
	return advice{rankRoot, diagnosis.Cause(c), line}
}

// withChain returns the adviser of a pool, with advice before it about what the app's workers wait for on the
// pool's server. It returns own, which may be nil, without such a wait, or if the pool is not configured.
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
		out := []advice{e.chainAdvice(c, app)}
		if own != nil {
			out = append(out, own(since)...)
		}
		return out
	}
}
