package schema_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// password is a secret.
type password string

// SetSecret implements [schema.SecretSetter].
func (p *password) SetSecret(s string) { *p = password(s) }

// flag is a boolean of its own type.
type flag struct{ set, value bool }

// SetBool implements [schema.BoolSetter].
func (f *flag) SetBool(b bool) { *f = flag{true, b} }

// item has a default.
type item struct {
	Name string `want:"a name" yaml:"name"`
	Port int    `want:"a port" yaml:"port"`
}

// SetDefaults implements [schema.Defaulter].
func (i *item) SetDefaults() { i.Port = 80 }

type stopSettings struct {
	After time.Duration `want:"a duration" yaml:"after"`
}

// step has settings for the action "stop" and none for "call".
type step struct {
	Action string        `want:"call or stop" yaml:"action"`
	Limit  int           `want:"a number" yaml:"limit"`
	Stop   *stopSettings `yaml:"-"`
}

// Choose implements [schema.Variant].
func (s *step) Choose(action string) {
	if action == "stop" {
		s.Limit, s.Stop = 3, &stopSettings{After: time.Second}
	}
}

// Bare implements [schema.Variant].
func (s *step) Bare() bool { return s.Action == "" && s.Stop == nil }

// limits has no wants of its own.
type limits struct {
	Low  float64 `yaml:"low"`
	High float64 `yaml:"high"`
}

// file has a key of each kind.
type file struct {
	Text    string            `want:"some text" yaml:"text"`
	User    string            `form:"user" want:"a user" yaml:"user"`
	Hidden  string            `form:"hidden" want:"a hidden text" yaml:"hidden"`
	Secret  password          `want:"a password" yaml:"secret"`
	Wait    time.Duration     `want:"a duration" yaml:"wait"`
	Count   int               `want:"a whole number" yaml:"count"`
	Share   float64           `want:"a number from 0 to 1" type:"a number" yaml:"share"`
	On      bool              `want:"true or false" yaml:"on"`
	Choice  flag              `want:"true or false" yaml:"choice"`
	Labels  map[string]string `item:"a value" want:"labels" yaml:"labels"`
	Items   []item            `want:"a list of items" yaml:"items"`
	Names   []string          `form:"replace" item:"a name" want:"a list of names" yaml:"names"`
	Tokens  []password        `item:"a token" want:"a list of tokens" yaml:"tokens"`
	Steps   []step            `want:"a list of steps" yaml:"steps"`
	Limits  limits            `want:"limits" yaml:"limits"`
	Ignored string            `yaml:"-"`
}

// decode reads a file into the default values and returns them with the lines of the error.
func decode(text string) (file, []string) {
	out := file{Text: "default", Names: []string{"a", "b"}, Limits: limits{1, 2}}
	d := schema.NewDecoder()
	d.Document([]byte(text), &out)
	err := d.Err("f.yml")
	if err == nil {
		return out, nil
	}
	return out, strings.Split(err.Error(), "\n")
}

func TestEachKindOfValue(t *testing.T) {
	got, errs := decode(`
text: "x"
user: 33
hidden: h
secret: s
wait: 1d12h
count: -4
share: 0.5
on: true
choice: false
labels: {team: web, "a b": c}
items:
  - name: one
  - {name: two, port: 8080}
names: [c]
tokens: [t, u]
steps:
  - {action: call}
  - {with: {after: 5s}, action: stop}
  - {action: stop, limit: 9}
limits: {high: 7}
`)
	want := file{
		Text: "x", User: "33", Hidden: "h", Secret: "s", Wait: 36 * time.Hour, Count: -4, Share: 0.5, On: true, Choice: flag{true, false},
		Labels: map[string]string{"team": "web", "a b": "c"}, Items: []item{{"one", 80}, {"two", 8080}}, Names: []string{"c"}, Tokens: []password{"t", "u"},
		Steps:  []step{{Action: "call"}, {"stop", 3, &stopSettings{5 * time.Second}}, {"stop", 9, &stopSettings{time.Second}}},
		Limits: limits{1, 7},
	}
	if errs != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %q", got, errs)
	}
}

// A file without content, and keys of mappings and lists without a value, keep the defaults.
func TestEmpty(t *testing.T) {
	want, _ := decode("")
	if want.Text != "default" {
		t.Fatalf("%+v", want)
	}
	for _, text := range []string{"# nothing", "---\n", "labels:", "items:", "steps: ", "limits: ", "labels: {}", "\ufeff"} {
		got, errs := decode(text)
		if len(got.Labels) == 0 {
			got.Labels = nil
		}
		if errs != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %q", text, got, errs)
		}
	}
	if got, errs := decode("names: []"); errs != nil || got.Names == nil || len(got.Names) != 0 {
		t.Errorf("a replaced list: %+v, %q", got.Names, errs)
	}
}

// Each wrong value has one fault with its line, its path, what is there and what is
// expected; the other values of the file are read.
func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"text:":                                 `2: text: got nothing; expected some text`,
		`text: ""`:                              `2: text: got ""; expected some text`,
		"text: 8000":                            `2: text: got 8000; expected some text, in quotes`,
		"text: [a]":                             `2: text: got a list; expected some text`,
		"text: {a: b}":                          `2: text: got a mapping; expected some text`,
		"text: &a b":                            `2: text: got an anchor; expected a value without anchors and aliases`,
		"text: !x b":                            `2: text: got the tag !x; expected some text, in quotes`,
		"user: 1.5":                             `2: user: got 1.5; expected a user, in quotes`,
		"user: -1":                              `2: user: got -1; expected a user, in quotes`,
		"user: 4294967296":                      `2: user: got 4294967296; expected a user, in quotes`,
		"hidden: 1":                             `2: hidden: got a value that is not text; expected a hidden text`,
		"secret:":                               `2: secret: got nothing; expected a password`,
		`secret: ""`:                            `2: secret: got ""; expected a password`,
		"secret: [hush]":                        `2: secret: got a value that is not text; expected a password`,
		"secret: &hush x":                       `2: secret: got a value that is not text; expected a password`,
		"tokens: hush":                          `2: tokens: got a value that is not a list; expected a list of tokens`,
		"tokens: [[hush]]":                      `2: tokens[0]: got a value that is not text; expected a token`,
		"wait: 5":                               `2: wait: got 5; expected a duration`,
		"wait: 5x":                              `2: wait: got "5x"; expected a duration`,
		"count: 1.5":                            `2: count: got 1.5; expected a whole number`,
		"count: 99999999999999999999":           `2: count: got 99999999999999999999; expected a whole number`,
		"share: x":                              `2: share: got "x"; expected a number`,
		"on: yes":                               `2: on: got "yes"; expected true or false`,
		"choice: 1":                             `2: choice: got 1; expected true or false`,
		"labels: [a]":                           `2: labels: got a list; expected labels`,
		"labels: {1: a}":                        `2: labels: got 1; expected labels`,
		"labels: {a: }":                         `2: labels.a: got nothing; expected a value`,
		"labels: {a: b, a: c}":                  `2: labels.a: duplicate key, first set on line 2; expected it once`,
		"items: {a: b}":                         `2: items: got a mapping; expected a list of items`,
		"items: [1]":                            `2: items[0]: got 1; expected a mapping of name, port`,
		"items: [{}, {port: x}]":                `2: items[1].port: got "x"; expected a port`,
		"names:":                                `2: names: got nothing; expected a list of names`,
		"names: [a, 1]":                         `2: names[1]: got 1; expected a name, in quotes`,
		"steps: [{action: none, x: 1}]":         `2: steps[0].x: unknown key; expected one of action`,
		"steps: [{action: stop, x: 1}]":         `2: steps[0].x: unknown key; expected one of action, limit, with`,
		"steps: [{action: stop, with: {x: 1}}]": `2: steps[0].with.x: unknown key; expected one of after`,
		"limits: {low: x}":                      `2: limits.low: got "x"; expected limits`,
		"limits: {low: 1, low: 2}":              `2: limits.low: duplicate key, first set on line 2; expected it once`,
		"ignored: x":                            `2: ignored: unknown key; expected one of text, user, hidden, secret, wait, count, share, on, choice, labels, items, names, tokens, steps, limits`,
		`"a b": x`:                              `2: "a b": unknown key; expected one of text, user, hidden, secret, wait, count, share, on, choice, labels, items, names, tokens, steps, limits`,
		"[a]: x":                                `2: a list: unknown key; expected one of text, user, hidden, secret, wait, count, share, on, choice, labels, items, names, tokens, steps, limits`,
	} {
		got, errs := decode("\n" + text)
		if len(errs) != 1 || errs[0] != "f.yml:"+want {
			t.Errorf("%q: %q, want %q", text, errs, want)
		}
		if strings.Contains(fmt.Sprint(errs), "hush") {
			t.Errorf("%q: the secret is in %q", text, errs)
		}
		if got.Limits.High != 2 {
			t.Errorf("%q: the defaults are gone: %+v", text, got)
		}
	}
}

// A file that cannot be parsed, or is not text, has one fault with a line of the file.
func TestDocumentFaults(t *testing.T) {
	for text, want := range map[string]string{
		"text: a\n\xff":              "f.yml:2: bytes that are not UTF-8; expected UTF-8",
		"text: a\x07":                "f.yml:1: the control character U+0007; expected text",
		"text: a\u0085b\n\n\u009f":   "f.yml:3: the control character U+009F; expected text",
		"text: a\n---\ntext: b":      "f.yml:2: a second document; expected one document",
		"- a":                        "f.yml:1: got a list; expected a mapping of text, user, hidden, secret, wait, count, share, on, choice, labels, items, names, tokens, steps, limits",
		"text: a\ncount: *none\n":    "f.yml:2: not YAML: unknown anchor 'none' referenced",
		"text: a\nitems: [\n":        "f.yml:2: not YAML: ",
		"text: 'a\n":                 "f.yml:1: not YAML: ",
		"text: a\n  b: c\n":          "f.yml:2: not YAML: ",
		"text: a\n---\ntext: 'b\n\n": "f.yml:",
	} {
		_, errs := decode(text)
		if len(errs) != 1 || !strings.HasPrefix(errs[0], want) {
			t.Errorf("%q: %q, want %q", text, errs, want)
		}
	}
}

// At most 100 faults are listed and the rest are counted; they are in the order of lines.
func TestManyFaults(t *testing.T) {
	var b strings.Builder
	for i := range 130 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	_, errs := decode(b.String())
	if len(errs) != 101 || errs[100] != "f.yml: 30 more errors" {
		t.Fatalf("%d lines, the last %q", len(errs), errs[len(errs)-1])
	}
	for i, line := range errs[:100] {
		if !strings.HasPrefix(line, fmt.Sprintf("f.yml:%d: k%d: ", i+1, i)) {
			t.Errorf("line %d: %q", i, line)
		}
	}
}
