package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The tags that the parser gives to nodes.
const (
	tagMap   = "!!map"
	tagSeq   = "!!seq"
	tagStr   = "!!str"
	tagInt   = "!!int"
	tagFloat = "!!float"
	tagBool  = "!!bool"
	tagNull  = "!!null"
)

// setter takes the value of one key; path is where it stands.
type setter func(n *yaml.Node, path string)

// field is one key that a mapping may have.
type field struct {
	key string
	set setter
}

// config is the schema of the whole file.
func (d *decoder) config(n *yaml.Node, c *Config) {
	d.mapping([]field{
		{"monitoring_interval", d.duration(&c.MonitoringInterval, "a duration such as 30s")},
		{"thresholds", d.thresholds(&c.Thresholds)},
		{"slow_request", d.duration(&c.SlowRequest, "a duration such as 5s")},
		{"apps", d.list("a list of apps", func(n *yaml.Node, path string) {
			c.Apps = append(c.Apps, App{})
			d.app(&c.Apps[len(c.Apps)-1])(n, path)
		})},
		{"mysql", d.list("a list of servers", func(n *yaml.Node, path string) {
			c.MySQL = append(c.MySQL, MySQL{})
			d.mysql(&c.MySQL[len(c.MySQL)-1])(n, path)
		})},
		{"redis", d.list("a list of servers", func(n *yaml.Node, path string) {
			c.Redis = append(c.Redis, Redis{})
			d.redis(&c.Redis[len(c.Redis)-1])(n, path)
		})},
		{"statsd", d.mapping([]field{
			{"listen", d.addresses(&c.StatsD.Listen)},
			{"max_routes", d.whole(&c.StatsD.MaxRoutes, wantMaxRoutes)},
			{"trust", d.list("a list of users and networks", func(n *yaml.Node, path string) {
				c.StatsD.Trust = append(c.StatsD.Trust, "")
				d.text(&c.StatsD.Trust[len(c.StatsD.Trust)-1], trustForms)(n, path)
			})},
		})},
		{"healing", d.healing(&c.Healing)},
	})(n, "")
}

func (d *decoder) thresholds(t *Thresholds) setter {
	bounds := t.bounds()
	fields := make([]field, 0, len(bounds))
	for _, b := range bounds {
		var halves []field
		for _, h := range b.halves() {
			halves = append(halves, field{h.key, d.number(h.value, b.want)})
		}
		fields = append(fields, field{b.resource, d.mapping(halves)})
	}
	return d.mapping(fields)
}

func (d *decoder) app(a *App) setter {
	m := &a.Match
	return d.mapping([]field{
		{"name", d.text(&a.Name, wantName)},
		{"match", d.mapping([]field{
			{"cmdline", d.text(&m.Cmdline, wantCmdline)},
			{"pid_file", d.text(&m.PIDFile, wantPIDFile)},
			{"listen", d.text(&m.Listen, listenForms)},
			{"systemd_unit", d.text(&m.SystemdUnit, wantSystemdUnit)},
			{"cgroup", d.text(&m.Cgroup, wantCgroup)},
			{"user", d.userID(&m.User)},
		})},
		{"pools", d.list("a list of pools", func(n *yaml.Node, path string) {
			a.Pools = append(a.Pools, defaultPool())
			d.pool(&a.Pools[len(a.Pools)-1])(n, path)
		})},
		{"sessions", d.list("a list of kinds of sessions", func(n *yaml.Node, path string) {
			a.Sessions = append(a.Sessions, Sessions{})
			d.sessions(&a.Sessions[len(a.Sessions)-1])(n, path)
		})},
		{"tasks", d.list("a list of kinds of tasks", func(n *yaml.Node, path string) {
			a.Tasks = append(a.Tasks, Tasks{})
			d.tasks(&a.Tasks[len(a.Tasks)-1])(n, path)
		})},
	})
}

// mapping takes the keys it knows and reports the others. A mapping with
// nothing in it, as when every line below its key is commented out, is well.
func (d *decoder) mapping(fields []field) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, "a mapping of "+keys(fields), tagMap) {
			return
		}
		seen := make(map[string]int, len(fields))
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if f := d.field(key, path, fields); f != nil && !d.again(key, path, seen) {
				at := under(path, f.key)
				d.lines[at] = key.Line
				f.set(value, at)
			}
		}
	}
}

// field finds the field of a key; nil and a fault if there is none.
func (d *decoder) field(key *yaml.Node, path string, fields []field) *field {
	name := describe(key)
	if key.Kind == yaml.ScalarNode && key.Anchor == "" {
		name = keyText(key.Value)
		for i := range fields {
			if fields[i].key == key.Value && key.ShortTag() == tagStr {
				return &fields[i]
			}
		}
	}
	d.reject(key.Line, problem{under(path, name), "unknown key", "one of " + keys(fields)})
	return nil
}

// again reports whether the key was given before, which is a fault.
func (d *decoder) again(key *yaml.Node, path string, seen map[string]int) bool {
	first, ok := seen[key.Value]
	if ok {
		d.fault(key.Line, problem{under(path, key.Value), fmt.Sprintf("given again, first on line %d", first), "it once"})
		return true
	}
	seen[key.Value] = key.Line
	return false
}

// list takes each item of a list; one with nothing in it is well.
func (d *decoder) list(want string, item setter) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, want, tagSeq) {
			return
		}
		d.items(n, path, item)
	}
}

func (d *decoder) items(n *yaml.Node, path string, item setter) {
	for i, v := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = v.Line
		item(v, at)
	}
}

// addresses takes a list in place of the default one. Here nothing is a fault:
// it could mean the default as well as none.
func (d *decoder) addresses(to *[]string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, "a list of addresses, or [] for none", tagSeq) {
			return
		}
		*to = make([]string, len(n.Content))
		next := 0
		d.items(n, path, func(n *yaml.Node, path string) {
			d.text(&(*to)[next], statsdForms)(n, path)
			next++
		})
	}
}

func (d *decoder) duration(to *time.Duration, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagStr) {
			return
		}
		v, err := parseDuration(n.Value)
		if err != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

func (d *decoder) number(to *float64, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagInt, tagFloat) {
			return
		}
		var v float64
		if n.Decode(&v) != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

func (d *decoder) whole(to *int, want string) setter {
	return func(n *yaml.Node, path string) {
		if !d.is(n, path, want, tagInt) {
			return
		}
		var v int
		if n.Decode(&v) != nil {
			d.wrong(n, path, want)
			return
		}
		*to = v
	}
}

// text takes text that is not empty.
func (d *decoder) text(to *string, want string) setter {
	return func(n *yaml.Node, path string) {
		want := want
		if n.Kind == yaml.ScalarNode && !empty(n) && n.ShortTag() != tagStr {
			want += ", in quotes" // 8000 and true are no text to YAML
		}
		if !d.is(n, path, want, tagStr) {
			return
		}
		if n.Value == "" {
			d.wrong(n, path, want)
			return
		}
		*to = n.Value
	}
}

// userID takes text, and a number without asking for quotes around it.
func (d *decoder) userID(to *string) setter {
	return func(n *yaml.Node, path string) {
		var id uint32
		if n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagInt && n.Decode(&id) == nil {
			*to = strconv.FormatUint(uint64(id), 10)
			return
		}
		d.text(to, wantUser)(n, path)
	}
}

// empty reports whether a key has nothing after it.
func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagNull
}

// is reports whether the node is of one of these tags, and reports it otherwise.
// It refuses anchors and aliases: a file this small needs none, and without
// them it cannot grow while it is read.
func (d *decoder) is(n *yaml.Node, path, want string, tags ...string) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.wrong(n, path, "a value without anchors and aliases")
		return false
	}
	for _, t := range tags {
		if n.ShortTag() == t && kindOf(t) == n.Kind {
			return true
		}
	}
	d.wrong(n, path, want)
	return false
}

func kindOf(tag string) yaml.Kind {
	switch tag {
	case tagMap:
		return yaml.MappingNode
	case tagSeq:
		return yaml.SequenceNode
	default:
		return yaml.ScalarNode
	}
}

func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keys(fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	return strings.Join(names, ", ")
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// keyText is an unknown key as part of a path.
func keyText(s string) string {
	if text.Matches(plainKey, s, 64) {
		return s
	}
	return quote(s)
}

// describe says what a node is, without the inside of a list or a mapping.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Anchor != "":
		return "an anchor"
	case n.Style&yaml.TaggedStyle != 0:
		return "the tag " + oneLine(n.ShortTag())
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == tagNull:
		return "nothing"
	case n.ShortTag() == tagStr:
		return quote(n.Value)
	default:
		return oneLine(n.Value)
	}
}
