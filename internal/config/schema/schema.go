// Package schema reads a YAML file into structs whose tags say what each key means
// and what is expected of its value. Errors name the file, the line and the path.
package schema

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The schema of a file is in the tags of the types that it is read into. The
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
//	component  of a threshold: what of an app it is about; none: it is no app's
//
// A field of a type without tags, such as Limit's, has the want of the field
// around it.

// Variant is a struct whose keys depend on the value of its key "action". The
// settings stand under the key "with": the one pointer of the struct that is set.
type Variant interface {
	// Choose sets the defaults of an action, and the pointer to its settings; none
	// where there is no such action.
	Choose(action string)
	// Bare reports whether the action chosen has neither settings nor any other key.
	Bare() bool
}

// Defaulter is a struct in a list that does not begin with zero values.
type Defaulter interface{ SetDefaults() }

// SecretSetter is text of which no error repeats anything.
type SecretSetter interface{ SetSecret(s string) }

// LimitsSetter is a mapping of thresholds that can be switched off. Under each of its
// keys are the keys warning and critical, with a number or off, or off for both.
type LimitsSetter interface {
	// LimitKeys returns the keys, and what is expected of their numbers.
	LimitKeys() []Field
	// SetLimit sets what the file has of a threshold.
	SetLimit(key string, p Pair)
}

// TextSetter is a value of its own that is written as text without quotes, such as a size.
type TextSetter interface{ SetText(s string) error }

// BoolSetter is a value of its own that is written as true or false.
type BoolSetter interface{ SetBool(b bool) }

// Field is one key of a mapping, as the tags of a struct field describe it.
type Field struct {
	Key, Want string
	Index     int // of the struct field

	kind, item, form string
}

// FieldsOf returns the keys of a struct type, in order, with what its tags say of each.
func FieldsOf(t reflect.Type) []Field { return fieldsOf(t, Field{}) }

// fieldsOf returns the keys of a struct type, except "-", with what its tags say of each.
// around is the field whose type it is: a key without a "want" has that of around, and one
// without a "type" has its want as its type.
func fieldsOf(t reflect.Type, around Field) []Field {
	out := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := Field{Want: tag.Get("want"), kind: tag.Get("type"), item: tag.Get("item"), form: tag.Get("form"), Index: i}
		if f.Key, _, _ = strings.Cut(tag.Get("yaml"), ","); f.Key == "-" {
			continue
		}
		if f.Want == "" {
			f.Want = around.Want
		}
		if f.kind == "" {
			f.kind = f.Want
		}
		out = append(out, f)
	}
	return out
}

// Wanted returns what is expected of the values of a key of T, which must exist.
func Wanted[T any](key string) string {
	fields := FieldsOf(reflect.TypeFor[T]())
	return fields[slices.IndexFunc(fields, func(f Field) bool { return f.Key == key })].Want
}

// WantedItem returns what is expected of an item of the list at a key of T, which must exist.
func WantedItem[T any](key string) string {
	fields := FieldsOf(reflect.TypeFor[T]())
	return fields[slices.IndexFunc(fields, func(f Field) bool { return f.Key == key })].item
}

// settings returns the settings of a [Variant], the first pointer of it that is not nil;
// the zero value if there are none.
func settings(v reflect.Value) reflect.Value {
	for _, f := range v.Fields() {
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			return f.Elem()
		}
	}
	return reflect.Value{}
}

// WantAt returns a description of the values that are accepted at a path of the struct to
// which c points, such as "apps[0].match.listen"; of an unknown key, of those around it.
func WantAt(c any, path string) string {
	v, at := reflect.ValueOf(c).Elem(), Field{}
	for path != "" {
		switch v.Kind() {
		case reflect.Slice:
			number, rest, _ := strings.Cut(path[1:], "]")
			i, _ := strconv.Atoi(number)
			v, path, at.Want = v.Index(i), strings.TrimPrefix(rest, "."), at.item
		case reflect.Struct:
			end := strings.IndexAny(path+".", ".[")
			key := path[:end]
			path = strings.TrimPrefix(path[end:], ".")
			if _, varies := reflect.TypeAssert[Variant](v.Addr()); varies && key == "with" {
				v = settings(v)
				continue
			}
			fields := fieldsOf(v.Type(), at)
			i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == key })
			if i < 0 {
				return at.Want
			}
			at = fields[i]
			v = v.Field(at.Index)
		default: // a label
			return at.item
		}
	}
	return at.Want
}
