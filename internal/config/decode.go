package config

import (
	"fmt"
	"reflect"
	"regexp"
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

// setter reads the value of one key; path is its place in the file.
type setter func(n *yaml.Node, path string)

// entry returns the entry of a key; nil and a fault if there is none.
type entry struct {
	key string
	set setter
}

// config reads the whole file.
func (d *decoder) config(n *yaml.Node, c *Config) {
	d.structure(reflect.ValueOf(c).Elem(), field{})(n, "")
}

// structure reads a mapping into a struct, as its tags say.
func (d *decoder) structure(v reflect.Value, around field) setter {
	if s, ok := reflect.TypeAssert[*HealingStep](v.Addr()); ok {
		return d.step(s)
	}
	return d.mapping(d.entries(v, around))
}

func (d *decoder) entries(v reflect.Value, around field) []entry {
	var out []entry
	for _, f := range fieldsOf(v.Type(), around) {
		out = append(out, entry{f.key, d.value(v.Field(f.index), f)})
	}
	return out
}

// step reads a step of healing. It looks for the action first: "with" is of its
// kind, wherever it stands. Where there is no such action, that is a fault, and
// nothing is said about its settings.
func (d *decoder) step(s *HealingStep) setter {
	return func(n *yaml.Node, path string) {
		*s = NewHealingStep(actionOf(n))
		v := reflect.ValueOf(s).Elem()
		entries := append(d.entries(v, field{}), entry{"with", func(*yaml.Node, string) {}})
		if with := settings(v); with.IsValid() {
			entries[len(entries)-1].set = d.structure(with, field{})
		}
		if s.Action == ActionEscalate {
			entries = entries[:1] // it does nothing that could take time or go wrong
		}
		d.mapping(entries)(n, path)
	}
}

// actionOf returns the text of the key "action" in a step; "" if there is none.
func actionOf(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "action" && n.Content[i+1].Kind == yaml.ScalarNode {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// value reads a value of the type of v.
func (d *decoder) value(v reflect.Value, f field) setter {
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		return d.duration(to, f.kind)
	case *Secret:
		return d.secret(to, f.kind)
	case *Choice:
		return d.choice(to)
	case *string:
		switch f.form {
		case "user":
			return d.userID(to, f.kind)
		case "hidden":
			return d.hidden(to, f.kind)
		}
		return d.text(to, f.kind)
	case *int:
		return d.integer(to, f.kind)
	case *float64:
		return d.number(to, f.kind)
	case *bool:
		return d.boolean(to)
	case *map[string]string:
		return d.labels(to, f)
	}
	if v.Kind() == reflect.Slice {
		return d.slice(v, f)
	}
	return d.structure(v, f)
}

// slice reads a list, each item of which begins with its defaults.
func (d *decoder) slice(v reflect.Value, f field) setter {
	item := func(n *yaml.Node, path string) {
		v.Set(reflect.Append(v, defaultOf(v.Type().Elem())))
		d.value(v.Index(v.Len()-1), field{want: f.item, kind: f.item})(n, path)
	}
	_, secret := reflect.TypeAssert[[]Secret](v)
	return func(n *yaml.Node, path string) {
		switch {
		case secret && n.Kind != yaml.SequenceNode && !empty(n): // it may be a secret too
			d.reject(n.Line, problem{path, "got a value that is not a list", f.kind})
		case f.form != "replace":
			d.list(f.kind, item)(n, path)
		case d.is(n, path, f.kind, tagSeq): // nothing is a fault: it could mean the default as well as none
			v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
			d.items(n, path, item)
		}
	}
}

// defaultOf returns an item of a list before it is read.
func defaultOf(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[Pool]():
		return reflect.ValueOf(defaultPool())
	case reflect.TypeFor[HealingRule]():
		return reflect.ValueOf(defaultRule())
	default:
		return reflect.Zero(t)
	}
}

// mapping reads the known keys and reports the others. An empty mapping, as
// when every line below its key is commented out, is accepted.
func (d *decoder) mapping(entries []entry) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, "a mapping of "+keys(entries), tagMap) {
			return
		}
		seen := make(map[string]int, len(entries))
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if e := d.entry(key, path, entries); e != nil && !d.duplicate(key, path, seen) {
				at := joinPath(path, e.key)
				d.lines[at] = key.Line
				e.set(value, at)
			}
		}
	}
}

// entry finds the entry of a key; nil and a fault if there is none.
func (d *decoder) entry(key *yaml.Node, path string, entries []entry) *entry {
	name := describe(key)
	if key.Kind == yaml.ScalarNode && key.Anchor == "" {
		name = keyText(key.Value)
		for i := range entries {
			if entries[i].key == key.Value && key.ShortTag() == tagStr {
				return &entries[i]
			}
		}
	}
	d.reject(key.Line, problem{joinPath(path, name), "unknown key", "one of " + keys(entries)})
	return nil
}

// duplicate reports whether the key was given before, which is a fault.
func (d *decoder) duplicate(key *yaml.Node, path string, seen map[string]int) bool {
	first, ok := seen[key.Value]
	if ok {
		d.fault(key.Line, problem{joinPath(path, key.Value), fmt.Sprintf("duplicate key, first set on line %d", first), "it once"})
		return true
	}
	seen[key.Value] = key.Line
	return false
}

// list reads each item of a list; an empty one is accepted.
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

// empty reports whether a key has nothing after it.
func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.ShortTag() == tagNull
}

// is reports whether the node has one of these tags; if not, it adds a fault.
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

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keys(entries []entry) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.key
	}
	return strings.Join(names, ", ")
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// keyText returns an unknown key as part of a path.
func keyText(s string) string {
	if text.Matches(plainKey, s, 64) {
		return s
	}
	return quote(s)
}

// describe returns what a node is, without the contents of a list or a mapping.
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
