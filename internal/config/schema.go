package config

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The schema of the file is in the tags of the types of the configuration. The
// order of the fields is the order in which errors name the keys.
//
//	yaml  the key; "-" for none
//	want  what is expected of the value, as errors say it
//	type  the same where the value is of another type; none: want
//	item  the same of each item of a list, or each value of a mapping
//	form  "user": a number needs no quotes; "hidden": nothing of the value is
//	      repeated in errors; "replace": the list stands in place of the default
//	max   of a threshold: the largest number allowed; none: any
//	falls of a threshold: it warns when the value falls below
//
// A field of a type without tags, such as Limit's, has the want of the field
// around it. The settings of a step stand under the key "with": the one pointer of
// the step that is set.

// field is one key of a mapping, as the tags of a struct field describe it.
type field struct {
	key, want, kind, item, form string
	index                       int // of the struct field
}

// fieldsOf returns the keys of a struct type.
func fieldsOf(t reflect.Type, around field) []field {
	out := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := field{want: tag.Get("want"), kind: tag.Get("type"), item: tag.Get("item"), form: tag.Get("form"), index: i}
		if f.key, _, _ = strings.Cut(tag.Get("yaml"), ","); f.key == "-" {
			continue
		}
		if f.want == "" {
			f.want = around.want
		}
		if f.kind == "" {
			f.kind = f.want
		}
		out = append(out, f)
	}
	return out
}

// wanted returns what is expected of a key of T.
func wanted[T any](key string) string {
	fields := fieldsOf(reflect.TypeFor[T](), field{})
	return fields[slices.IndexFunc(fields, func(f field) bool { return f.key == key })].want
}

// wantedItem returns what is expected of an item of a list of T.
func wantedItem[T any](key string) string {
	fields := fieldsOf(reflect.TypeFor[T](), field{})
	return fields[slices.IndexFunc(fields, func(f field) bool { return f.key == key })].item
}

// settings returns the settings of a step's action; the zero value if there are
// none.
func settings(step reflect.Value) reflect.Value {
	for _, f := range step.Fields() {
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			return f.Elem()
		}
	}
	return reflect.Value{}
}

// wantAt returns what is expected of the value at a path of the configuration,
// such as "apps[0].match.listen".
func (c *Config) wantAt(path string) string {
	v, at := reflect.ValueOf(c).Elem(), field{}
	for path != "" {
		switch v.Kind() {
		case reflect.Slice:
			number, rest, _ := strings.Cut(path[1:], "]")
			i, _ := strconv.Atoi(number)
			v, path, at.want = v.Index(i), strings.TrimPrefix(rest, "."), at.item
		case reflect.Struct:
			end := strings.IndexAny(path+".", ".[")
			key := path[:end]
			path = strings.TrimPrefix(path[end:], ".")
			if _, isStep := reflect.TypeAssert[HealingStep](v); isStep && key == "with" {
				v = settings(v)
				continue
			}
			fields := fieldsOf(v.Type(), at)
			i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
			if i < 0 {
				return at.want
			}
			at = fields[i]
			v = v.Field(at.index)
		default: // a label
			return at.item
		}
	}
	return at.want
}

// expect completes the problems with what the schema expects: where want is
// empty, and before a want that begins with a space or a comma.
func (c *Config) expect(ps []problem) []problem {
	for i := range ps {
		if p := &ps[i]; p.want == "" || p.want[0] == ' ' || p.want[0] == ',' {
			p.want = c.wantAt(p.path) + p.want
		}
	}
	return ps
}
