package health

import (
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// chainAdvice returns the line about a chain, for the workers of an app; "" stands for
// the app with most victims. It says what to do. Who waits for whom is in it only if no
// verdict says it: a verdict has the first chain of each app.
func (e *evaluator) chainAdvice(c *model.Chain, app string) advice {
	line := diagnosis.Advice(c)
	first := slices.IndexFunc(e.State.Chains, func(x model.Chain) bool { return x.App == c.App })
	if line == "" || &e.State.Chains[first] != c {
		line = strings.TrimSpace(diagnosis.Sentence(c, app) + " " + line)
	}
	return advice{rankRoot, diagnosis.Cause(c), line}
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
		out := []advice{e.chainAdvice(c, app)}
		if own != nil {
			out = append(out, own(since)...)
		}
		return out
	}
}
