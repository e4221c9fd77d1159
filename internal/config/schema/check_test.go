package schema_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// Check adds the line or the variable of a value, and no fault for a value that was
// refused, for one around it or for one inside it.
func TestCheck(t *testing.T) {
	out := file{}
	d := schema.NewDecoder()
	d.Document([]byte("text: a\nitems:\n  - name: one\n    port: x\nlimits:\n  low: 3\n"), &out)
	d.SetVariable("limits.high", `HIGH="9"`)
	d.SetVariable("share.warning", `SHARE="8"`)
	d.Refuse("count")
	d.Check([]schema.Fault{
		{Path: "text", Got: "got a", Want: "b"},
		{Path: "items[0].name", Got: "got one", Want: "two"},
		{Path: "items[0].port", Got: "refused"},
		{Path: "items[0]", Got: "refused inside"},
		{Path: "items", Got: "refused inside"},
		{Path: "count", Got: "refused"},
		{Path: "count.warning", Got: "refused around"},
		{Path: "limits.low", Want: "less"},
		{Path: "limits.high", Got: "high"},
		{Path: "share", Got: "share"},
		{Path: "wait.long", Got: "absent"},
	})
	got := strings.Split(d.Err("f.yml").Error(), "\n")
	want := []string{
		"f.yml:1: text: got a; expected b",
		"f.yml:1: wait.long: absent",
		"f.yml:3: items[0].name: got one; expected two",
		`f.yml:4: items[0].port: got "x"; expected a port`,
		"f.yml:6: limits.low: expected less",
		`environment: HIGH="9": high`,
		`environment: SHARE="8": share`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	d.Check([]schema.Fault{{Path: "text", Got: "again"}, {Path: "user", Got: "other"}})
	if again := strings.Split(d.Err("f.yml").Error(), "\n"); len(again) != len(want)+1 || !slices.Contains(again, "f.yml:1: user: other") {
		t.Errorf("a second check: %q", again)
	}
}

func TestErrWithoutFaults(t *testing.T) {
	if err := schema.NewDecoder().Err("f.yml"); err != nil {
		t.Error(err)
	}
}

func TestFaultIn(t *testing.T) {
	for want, f := range map[string]schema.Fault{
		"f.yml: got":                      {Got: "got"},
		"f.yml: a.b: expected x":          {Path: "a.b", Want: "x"},
		"f.yml:3: a.b: got; expected x":   {Path: "a.b", Got: "got", Want: "x", Line: 3},
		`environment: A="1": expected x`:  {Path: "a.b", Want: "x", Line: 3, Env: `A="1"`},
		`environment: A="1": got`:         {Got: "got", Env: `A="1"`},
		"f.yml:1: a second; expected one": {Got: "a second", Want: "one", Line: 1},
	} {
		if got := f.In("f.yml").Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A quoted value is on one line and at most 80 bytes, without a character in two.
func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  `""`,
		"a\nb":                              `"a\nb"`,
		strings.Repeat("x", 80):             `"` + strings.Repeat("x", 80) + `"`,
		strings.Repeat("x", 81):             `"` + strings.Repeat("x", 80) + `…"`,
		strings.Repeat("x", 79) + "é":       `"` + strings.Repeat("x", 79) + `…"`,
		strings.Repeat("x", 78) + "é" + "a": `"` + strings.Repeat("x", 78) + `é…"`,
	} {
		if got := schema.Quote(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	if got := schema.OneLine("a\n\x1b[2Jb" + strings.Repeat("x", 80)); strings.ContainsAny(got, "\n\x1b") || len(got) > 90 {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]string{"a_b-1": "a_b-1", "a b": `"a b"`, "": `""`, strings.Repeat("k", 64): strings.Repeat("k", 64), strings.Repeat("k", 65): `"` + strings.Repeat("k", 65) + `"`} {
		if got := schema.KeyText(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
}

// WantAt follows keys, items, labels and the settings of an action.
func TestWantAt(t *testing.T) {
	c := &file{Items: []item{{}, {}}, Steps: []step{{Action: "stop", Stop: &stopSettings{}}}, Names: []string{"a"}, Labels: map[string]string{"a": "b"}}
	for path, want := range map[string]string{
		"": "", "text": "some text", "share": "a number from 0 to 1", "items": "a list of items", "items[1].port": "a port", "names[0]": "a name",
		"labels.a": "a value", "limits.low": "limits", "steps[0].limit": "a number", "steps[0].with.after": "a duration", "limits.none": "limits",
	} {
		if got := schema.WantAt(c, path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := schema.Wanted[file]("share"); got != "a number from 0 to 1" {
		t.Error(got)
	}
	if got := schema.WantedItem[file]("names"); got != "a name" {
		t.Error(got)
	}
}

// The keys of a type are its fields with a key, with the want of the field or of the
// field around it.
func TestFieldsOf(t *testing.T) {
	var keys []string
	for _, f := range schema.FieldsOf(reflect.TypeFor[step]()) {
		keys = append(keys, f.Key+" "+f.Want)
		if reflect.TypeFor[step]().Field(f.Index).Name == "Stop" {
			t.Error("a field without a key")
		}
	}
	if !slices.Equal(keys, []string{"action call or stop", "limit a number"}) {
		t.Errorf("%q", keys)
	}
}
