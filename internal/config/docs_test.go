package config_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// key is one key of the file that has no keys below it.
type key struct {
	path  string // "apps[].match.listen"
	value reflect.Value
}

// keysOf lists the keys of a type of the configuration.
func keysOf(v reflect.Value, path string) []key {
	switch {
	case v.Kind() == reflect.Struct:
		var out []key
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if name == "-" { // of a step: the settings of its action
				continue
			}
			out = append(out, keysOf(v.Field(i), strings.TrimPrefix(path+"."+name, "."))...)
		}
		return out
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		item := reflect.New(v.Type().Elem()).Elem()
		if v.Len() > 0 {
			item = v.Index(0)
		}
		return append([]key{{path, v}}, keysOf(item, path+"[]")...)
	default:
		return []key{{path, v}}
	}
}

// text returns a default as the documentation writes it; "" for none.
func (k key) text() string {
	if k.value.Kind() != reflect.Slice && strings.Contains(k.path, "[].") {
		return "" // the value of a new item is not checked
	}
	switch v := k.value.Interface().(type) {
	case []config.HealingStep:
		return ""
	case string:
		return strings.TrimSuffix("`"+v+"`", "``")
	case time.Duration:
		return "`" + v.String() + "`"
	case []string:
		if len(v) == 0 {
			return ""
		}
		return "`[\"" + strings.Join(v, "\", \"") + "\"]`"
	case []config.App, []config.MySQL, []config.Redis, []config.Secret, []config.Pool, []config.Sessions, []config.Tasks, []config.HealingRule:
		return "`[]`"
	default:
		return fmt.Sprintf("`%v`", v)
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Each key has its row, with its default in it, and the page has no row of a
// key that does not exist.
func TestDocsHaveEachKey(t *testing.T) {
	page := document(t, "config.md")
	known := map[string]bool{"healing.rules[].steps[].with": true}
	for _, k := range keysOf(reflect.ValueOf(config.Default()), "") {
		known[k.path] = true
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(k.path) + "` \\|[^|]*\\| ([^|]*?) ?\\|").FindStringSubmatch(page)
		switch {
		case row == nil:
			t.Errorf("docs/config.md has no row of `%s`", k.path)
		case k.text() != "" && row[1] != k.text():
			t.Errorf("docs/config.md says that the default of %s is %s, and it is %s", k.path, row[1], k.text())
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][a-z_.\\[\\]]*)` \\|").FindAllStringSubmatch(page, -1) {
		if !known[row[1]] && !strings.HasPrefix(row[1], "resp_") {
			t.Errorf("docs/config.md has a row of `%s`, which is no key", row[1])
		}
	}
}

// Each variable is on the page, and for a threshold in the row of its key.
func TestDocsHaveEachVariable(t *testing.T) {
	page := document(t, "config.md")
	known := map[string]bool{}
	for _, v := range config.VariableNames() {
		known[v] = true
		if !strings.Contains(page, "`"+v+"`") {
			t.Errorf("docs/config.md has no `%s`", v)
		}
	}
	for _, v := range regexp.MustCompile("`(RESPONSIVENESS_[A-Z_]+[A-Z])`").FindAllStringSubmatch(page, -1) {
		if !known[v[1]] {
			t.Errorf("docs/config.md has %s, which does not exist", v[1])
		}
	}
	config.Default().Thresholds.Each(func(resource string, _ config.Limit) {
		for _, half := range []string{"warning", "critical"} {
			variable := "RESPONSIVENESS_" + strings.ToUpper(resource+"_"+half) + "_THRESHOLD"
			if !regexp.MustCompile("(?m)^\\| `thresholds\\." + resource + "\\." + half + "` .*`" + variable + "` \\|$").MatchString(page) {
				t.Errorf("docs/config.md does not have %s in the row of its key", variable)
			}
		}
	})
}

// The error messages in the documentation are those of the code.
func TestDocsQuoteRealMessages(t *testing.T) {
	page := document(t, "config.md")
	file := "thresholds:\n  memory: {warning: 0.8}\n  cpu:\n    warning: 80\n" + strings.Repeat("\n", 3) +
		"apps:\n  - name: shop\n    match:\n      user: shop\n      cmdlin: x\n"
	for _, env := range [][]string{nil, {"RESPONSIVENESS_CPU_WARNING_THRESHOLD=80"}} {
		_, err := config.Load(strings.NewReader(file), "resp-exporter.yml", env)
		if err == nil {
			t.Fatal("loaded")
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.Contains(page, line) {
				t.Errorf("docs/config.md does not have the line %s", line)
			}
		}
	}
}

// The example loads as it is, and with every key in it.
func TestExampleFile(t *testing.T) {
	example := document(t, "resp-exporter.example.yml")
	load := func(text string) config.Config {
		t.Helper()
		c, err := config.Load(strings.NewReader(text), "resp-exporter.example.yml", nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return c
	}
	if got := load(example); !reflect.DeepEqual(got, config.Default()) {
		t.Errorf("as it is, it gives %+v", got)
	}

	// "#key" and the "#  key" below it are keys with their defaults.
	defaults := regexp.MustCompile(`(?m)^#([a-z]|  [a-z])`).ReplaceAllString(example, "$1")
	if got := load(defaults); !reflect.DeepEqual(got, config.Default()) {
		t.Errorf("with its keys, it gives %+v\nwhich is not the default\n%s", got, defaults)
	}
	for _, k := range keysOf(reflect.ValueOf(config.Default()), "") {
		if strings.Contains(k.path, "[].") {
			continue
		}
		// Without its default, the loader would not notice that a key is missing.
		if name := k.path[strings.LastIndex(k.path, ".")+1:]; !regexp.MustCompile(`\b` + name + `: `).MatchString(defaults) {
			t.Errorf("no %s in it", k.path)
		}
	}

	// The entries of the lists give every key that an entry may have, and name
	// each other.
	lists := []string{"apps", "mysql", "redis"}
	var whole strings.Builder
	for _, list := range lists {
		_, entry, ok := strings.Cut(example, "#"+list+": []\n")
		if !ok {
			t.Fatalf("no empty list of %s in it", list)
		}
		entry, _, _ = strings.Cut(entry, "\n\n")
		whole.WriteString(list + ":\n" + regexp.MustCompile(`(?m)^# `).ReplaceAllString(entry, "  ") + "\n")
	}
	c := load(whole.String())
	for i, v := range []any{c.Apps, c.MySQL, c.Redis} {
		got := reflect.ValueOf(v)
		if got.Len() != 1 {
			t.Fatalf("its entry of %s gives %+v", lists[i], got)
		}
		for _, k := range keysOf(got.Index(0), lists[i]+"[]") {
			if k.value.IsZero() {
				t.Errorf("its entry has no %s", k.path)
			}
		}
	}
}

// The thresholds of the example are each in a line of their own, so that none
// is only in prose.
func TestExampleHasEachThreshold(t *testing.T) {
	example := []byte(document(t, "resp-exporter.example.yml"))
	config.Default().Thresholds.Each(func(resource string, l config.Limit) {
		line := fmt.Sprintf("#  %s: {warning: %v, critical: %v}", resource, l.Warning, l.Critical)
		if !bytes.Contains(example, []byte("\n"+line)) {
			t.Errorf("no line %q in it", line)
		}
	})
}

// Each action has its section, with a row for each of its settings and no other.
func TestDocsHaveEachAction(t *testing.T) {
	_, page, _ := strings.Cut(document(t, "actions.md"), "\n## ")
	sections := make(map[string]string)
	for section := range strings.SplitSeq(page, "\n## ") {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	for _, action := range config.ActionNames() {
		if _, ok := sections[action]; !ok {
			t.Errorf("docs/actions.md has no section of %s", action)
		}
		known := make(map[string]bool)
		for _, k := range keysOf(withOf(config.NewHealingStep(action)), "") {
			known[k.path] = true
			if !strings.Contains(sections[action], "\n| `"+k.path+"` |") {
				t.Errorf("docs/actions.md has no row of `%s` in the section of %s", k.path, action)
			}
		}
		settings, _, _ := strings.Cut(sections[action], "\n### ")
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(settings, -1) {
			if !known[row[1]] {
				t.Errorf("docs/actions.md has a row of `%s` in the section of %s, which is no setting of it", row[1], action)
			}
		}
	}
}

// withOf returns the settings of a step; an empty struct if it has none.
func withOf(s config.HealingStep) reflect.Value {
	v := reflect.ValueOf(s)
	for _, f := range v.Fields() {
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			return f.Elem()
		}
	}
	return reflect.ValueOf(struct{}{})
}
