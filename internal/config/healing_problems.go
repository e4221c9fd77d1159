package config

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// checks collects problems below one path.
type checks struct {
	path string
	out  []problem
}

// need adds a problem with key unless ok; got is the value, want as in [problem].
func (k *checks) need(ok bool, key string, got any, want string) {
	if ok {
		return
	}
	at := k.path
	if key != "" {
		at = schema.JoinPath(at, key)
	}
	text := fmt.Sprintf("got %v", got)
	if s, isText := got.(string); isText {
		text = "got " + schema.Quote(s)
	}
	switch got {
	case "", nil:
		text = "missing"
	}
	k.out = append(k.out, problem{at, text, want})
}

// required adds a problem if v is missing, or not from least to most. missing is the
// value that stands for one that was not given.
func required[T int | float64 | time.Duration](c *checks, key string, v, missing, least, most T) {
	if v == missing {
		c.need(false, key, nil, " (required)")
		return
	}
	c.need(v >= least && v <= most, key, v, "")
}

func within[T int | float64 | time.Duration](v, least, most T) bool { return v >= least && v <= most }

// appNamed adds a problem if an app of that name is not configured. Without configured
// apps any valid name passes: discovered ones are not known yet.
func (c *Config) appNamed(k *checks, name string) {
	known := name == "" || isAppName(name) && (len(c.Apps) == 0 || c.appOf(name) != nil)
	k.need(known, "app", name, " in the section apps")
}

func (c *Config) appOf(name string) *App {
	for i := range c.Apps {
		if c.Apps[i].Name == name {
			return &c.Apps[i]
		}
	}
	return nil
}
