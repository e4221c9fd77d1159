package health

import (
	"fmt"
	"maps"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Sessions without an expiry are worth a word when they are this many and this
// share of all: a few may be meant so.
const (
	eternalSessions = 100
	eternalShare    = 0.10
)

// judgeSessions judges where an app keeps its sessions: those that never
// expire fill the store.
func (c *court) judgeSessions(app string) {
	found := make(map[string]*model.Sessions)
	for i := range c.State.Sessions {
		if x := &c.State.Sessions[i]; x.App == app {
			found[x.Redis] = x
		}
	}
	for _, store := range c.partNames(app, "sessions", slices.Collect(maps.Keys(found))) {
		x, what := found[store], "sessions of "+app+" on Redis "+store
		if x == nil || x.Count == nil || x.WithoutExpiry == nil {
			// Without a reason the first walk is under way.
			c.unread(app, "sessions", "sessions", store, "the "+what)
			continue
		}
		all, eternal := *x.Count, *x.WithoutExpiry
		r := rule{key: key{app, "sessions", store}, component: "sessions"}
		at := func(margin float64) Level {
			if eternal >= eternalSessions*margin && eternal >= eternalShare*margin*all {
				return Warning
			}
			return Healthy
		}
		r.level, r.calm = at(1), at(1-margin)
		r.summary = fmt.Sprintf("%s of %s %s never expire", FormatCount(eternal), FormatCount(all), what)
		r.advice = c.adviseSessions(x, what)
		c.add(r)
	}
}

func (c *court) adviseSessions(x *model.Sessions, what string) adviser {
	all, eternal := *x.Count, *x.WithoutExpiry
	line := fmt.Sprintf("%s of %s %s have no expiry", FormatCount(eternal), FormatCount(all), what)
	if x.Bytes != nil && all > 0 {
		line += fmt.Sprintf(", about %s that stay for ever", FormatBytes(*x.Bytes*eternal/all))
	}
	if s := c.redisServer(x.Redis); s != nil && s.Memory != nil && s.MaxMemory != nil && *s.MaxMemory > 0 {
		line += fmt.Sprintf("; its memory is at %s of maxmemory", FormatPercent(*s.Memory / *s.MaxMemory))
	}
	return says(line + ": find what writes them without EXPIRE.")
}
