package guard

import (
	"maps"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Holds returns the temporary settings in force by their keys, in a new map.
func (g *Guards) Holds() map[string]action.Hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.memory.holds)
}

// Held returns a copy of the temporary setting of a key; nil: none is in force.
func (g *Guards) Held(key string) *action.Hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h, ok := g.memory.holds[key]; ok {
		return &h
	}
	return nil
}

// HasRoom reports whether a key may have a temporary setting: it has one, or fewer than
// [action.MaxHolds] are in force.
func (g *Guards) HasRoom(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.memory.holds[key]
	return ok || len(g.memory.holds) < action.MaxHolds
}

// Hold records a temporary setting as it is now, if there is room for one more.
func (g *Guards) Hold(key string, h action.Hold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.memory.hold(key, h)
}

// Release records that a temporary setting is no longer in force.
func (g *Guards) Release(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.memory.holds, key)
}
