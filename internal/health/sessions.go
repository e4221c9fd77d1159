package health

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/health/levels"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Sessions without expiry are a warning from this number and this share of all
// sessions on; a few may be intended.
const (
	noExpirySessions = 100
	noExpiryShare    = 0.10
)

// evaluateSessions adds a rule about each session store's sessions without expiry.
func (e *evaluator) evaluateSessions(app string) {
	found := make(map[string]*model.Sessions)
	for i := range e.State.Sessions {
		if x := &e.State.Sessions[i]; x.App == app {
			found[x.Redis] = x
		}
	}
	for _, store := range e.partNames(app, "sessions", slices.Collect(maps.Keys(found))) {
		x, what := found[store], "sessions of "+app+" on Redis "+store
		if x == nil || x.Count == nil || x.WithoutExpiry == nil {
			// Without a reason the first scan is under way.
			e.unread(app, "sessions", "sessions", store, "the "+what)
			continue
		}
		all, noExpiry := *x.Count, *x.WithoutExpiry
		r := rule{Subject: Subject{app, "sessions", store}, component: "sessions"}
		at := func(margin float64) Level {
			if noExpiry >= noExpirySessions*margin && noExpiry >= noExpiryShare*margin*all {
				return Warning
			}
			return Healthy
		}
		r.level, r.release = at(1), at(1-levels.Margin)
		r.summary = fmt.Sprintf("%s of %s %s never expire", FormatCount(noExpiry), FormatCount(all), what)
		r.advice = e.adviseSessions(x, what)
		e.add(r)
	}
}

// adviseSessions returns the advice for sessions, named what, without an expiry; x must have both counts.
func (e *evaluator) adviseSessions(x *model.Sessions, what string) adviser {
	all, noExpiry := *x.Count, *x.WithoutExpiry
	line := fmt.Sprintf("%s of %s %s have no expiry", FormatCount(noExpiry), FormatCount(all), what)
	if x.Bytes != nil && all > 0 {
		line += fmt.Sprintf(", about %s that is never freed", FormatBytes(*x.Bytes*noExpiry/all))
	}
	if s := e.redisServer(x.Redis); s != nil && s.Memory != nil && s.MaxMemory != nil && *s.MaxMemory > 0 {
		line += fmt.Sprintf("; its memory is at %s of maxmemory", FormatPercent(*s.Memory / *s.MaxMemory))
	}
	return symptoms(line + ": find the code that writes them without EXPIRE.")
}
