package schema

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// setter reads the value of one key; path is its place in the file.
type setter func(n *yaml.Node, path string)

// entry returns the entry of a key; nil and a fault if there is none.
type entry struct {
	key string
	set setter
}

// structure returns a setter that reads a mapping into a struct, as the tags of its
// fields say.
func (d *Decoder) structure(v reflect.Value, around Field) setter {
	if s, ok := reflect.TypeAssert[Variant](v.Addr()); ok {
		return d.variant(s, v)
	}
	return d.mapping(d.entries(v, around))
}

// entries returns the entries of a struct, one a field, with the function that sets it.
func (d *Decoder) entries(v reflect.Value, around Field) []entry {
	var out []entry
	for _, f := range fieldsOf(v.Type(), around) {
		out = append(out, entry{f.Key, d.value(v.Field(f.Index), f)})
	}
	return out
}

// variant returns a setter that reads a [Variant]. The setter looks for the action first,
// wherever it stands: "with" is of its kind, and a bare one may have no other key. Where there
// is no such action, that is a fault, and nothing is said about its settings.
func (d *Decoder) variant(s Variant, v reflect.Value) setter {
	return func(n *yaml.Node, path string) {
		s.Choose(actionOf(n))
		entries := append(d.entries(v, Field{}), entry{"with", func(*yaml.Node, string) {}})
		if with := settings(v); with.IsValid() {
			entries[len(entries)-1].set = d.structure(with, Field{})
		}
		if s.Bare() {
			entries = entries[:1]
		}
		d.mapping(entries)(n, path)
	}
}

// actionOf returns the text of the key "action" in a mapping; "" if n is no mapping, has no
// such key, or its value is a list or a mapping.
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

// value returns a setter that reads a value of the type of v into v.
func (d *Decoder) value(v reflect.Value, f Field) setter {
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		return d.duration(to, f.kind)
	case SecretSetter:
		return d.secret(to, f.kind)
	case BoolSetter:
		return d.choice(to)
	case LimitsSetter:
		return d.limits(to)
	case TextSetter:
		return d.parsed(to, f.kind)
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

// limits returns a setter that reads a mapping of thresholds, each of which can be
// switched off.
func (d *Decoder) limits(to LimitsSetter) setter {
	var entries []entry
	for _, f := range to.LimitKeys() {
		entries = append(entries, entry{f.Key, func(n *yaml.Node, path string) {
			var p Pair
			if d.pair(&p, f.Want+", or off")(n, path); p != (Pair{}) {
				to.SetLimit(f.Key, p)
			}
		}})
	}
	return d.mapping(entries)
}

// pair returns a setter that reads one threshold into to: "off", or a mapping of warning
// and critical, each a number or "off". want is what the fault of a wrong number asks for.
func (d *Decoder) pair(to *Pair, want string) setter {
	entries := []entry{{"warning", d.numberOrOff(&to.Warning, want)}, {"critical", d.numberOrOff(&to.Critical, want)}}
	both := d.mapping(entries)
	return func(n *yaml.Node, path string) {
		switch {
		case isOff(n):
			to.Warning, to.Critical = Number{Given: true, Off: true}, Number{Given: true, Off: true}
		case n.Kind == yaml.ScalarNode && !empty(n):
			d.wrong(n, path, "off, or a mapping of "+keys(entries))
		default:
			both(n, path)
		}
	}
}

// numberOrOff returns a setter of a number, or of the word for off.
func (d *Decoder) numberOrOff(to *Number, want string) setter {
	return func(n *yaml.Node, path string) {
		if isOff(n) {
			*to = Number{Given: true, Off: true}
			return
		}
		var v float64
		if d.number(&v, want)(n, path); !d.bad[path] {
			*to = Number{Given: true, Value: v}
		}
	}
}

// slice returns a setter that reads a list into v. Each item begins with its defaults. An
// empty value leaves v as it is; in a list that replaces its default it is a fault.
func (d *Decoder) slice(v reflect.Value, f Field) setter {
	item := func(n *yaml.Node, path string) {
		v.Set(reflect.Append(v, defaultOf(v.Type().Elem())))
		d.value(v.Index(v.Len()-1), Field{Want: f.item, kind: f.item})(n, path)
	}
	secret := reflect.PointerTo(v.Type().Elem()).Implements(reflect.TypeFor[SecretSetter]())
	return func(n *yaml.Node, path string) {
		switch {
		case secret && n.Kind != yaml.SequenceNode && !empty(n): // it may be a secret too
			d.reject(n.Line, path, "got a value that is not a list", f.kind)
		case f.form != "replace":
			d.list(f.kind, item)(n, path)
		case d.is(n, path, f.kind, tagSeq): // nothing is a fault: it could mean the default as well as none
			v.Set(reflect.MakeSlice(v.Type(), 0, len(n.Content)))
			d.items(n, path, item)
		}
	}
}

// defaultOf returns a new item of a list with its defaults, before it is read.
func defaultOf(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := reflect.TypeAssert[Defaulter](v); ok {
		d.SetDefaults()
	}
	return v.Elem()
}

// mapping returns a setter that reads a mapping with the given keys and adds a fault for
// any other. An empty mapping, as when every line below its key is commented out, is
// accepted.
func (d *Decoder) mapping(entries []entry) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, "a mapping of "+keys(entries), tagMap) {
			return
		}
		seen := make(map[string]int, len(entries))
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if e := d.entry(key, path, entries); e != nil && !d.duplicate(key, path, seen) {
				at := JoinPath(path, e.key)
				d.lines[at] = key.Line
				e.set(value, at)
			}
		}
	}
}

// entry returns the entry of a key. If there is none, it adds a fault and returns nil.
func (d *Decoder) entry(key *yaml.Node, path string, entries []entry) *entry {
	name := describe(key)
	if key.Kind == yaml.ScalarNode && key.Anchor == "" {
		name = KeyText(key.Value)
		for i := range entries {
			if entries[i].key == key.Value && key.ShortTag() == tagStr {
				return &entries[i]
			}
		}
	}
	d.reject(key.Line, JoinPath(path, name), "unknown key", "one of "+keys(entries))
	return nil
}

// list returns a setter that calls item for each item of a list; an empty one is
// accepted.
func (d *Decoder) list(want string, item setter) setter {
	return func(n *yaml.Node, path string) {
		if empty(n) || !d.is(n, path, want, tagSeq) {
			return
		}
		d.items(n, path, item)
	}
}

// items calls item for each element of a sequence, with its path, and records the line of
// each.
func (d *Decoder) items(n *yaml.Node, path string, item setter) {
	for i, v := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.lines[at] = v.Line
		item(v, at)
	}
}

// keys returns the keys of the entries, separated by commas.
func keys(entries []entry) string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.key
	}
	return strings.Join(names, ", ")
}
