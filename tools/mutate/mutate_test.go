package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// module writes a module whose tests notice a fault in Add and none in Log, and
// returns its directory.
func module(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module example.org/m\n\ngo 1.26\n",
		"m/m.go":      "package m\n\n// Add returns n + 3.\nfunc Add(n int) int { return n + 3 }\n",
		"m/log.go":    "package m\n\nvar lines int\n\n// Log counts lines, and no code reads the counter.\nfunc Log() { lines++ }\n",
		"m/m_test.go": "package m\n\nimport \"testing\"\n\nfunc TestNothing(*testing.T) {}\n",
		"u/u.go":      "package u\n\nimport \"example.org/m/m\"\n\n// Use uses m.\nfunc Use(n int) int { m.Log(); return m.Add(n) }\n",
		"u/u_test.go": "package u\n\nimport \"testing\"\n\nfunc TestUse(t *testing.T) {\n\tfor in, want := range map[int]int{-3: 0, 9: 12} {\n\t\tif got := Use(in); got != want {\n\t\t\tt.Error(in, got)\n\t\t}\n\t}\n}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The tests of a package that imports the changed one notice a fault; a fault without
// effect is missed. A second run continues from the file of results.
func TestTrial(t *testing.T) {
	dir := module(t)
	opt := options{dir: dir, seed: 3, n: 40, out: filepath.Join(dir, "out", "results.tsv"), timeout: time.Minute, pkgs: []string{"./m"}}
	var out strings.Builder
	share, err := trial(t.Context(), opt, &out)
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for line := range strings.Lines(out.String()) {
		if cells := strings.Split(strings.TrimRight(line, "\n"), "\t"); len(cells) > 1 {
			rows[cells[2]] = cells
		}
	}
	add, log := rows["Add"], rows["Log"]
	if len(rows) != 2 || share != 0.5 || len(add) != 9 || add[0] != "caught" || add[7] != "example.org/m/u TestUse" || len(log) != 9 || log[0] != "missed" {
		t.Fatalf("%v: %s", share, out.String())
	}
	before, err := os.ReadFile(opt.out)
	if err != nil {
		t.Fatal(err)
	}
	var again strings.Builder
	if _, err := trial(t.Context(), opt, &again); err != nil || again.String() != out.String() {
		t.Errorf("%v, again:\n%s", err, again.String())
	}
	if after, err := os.ReadFile(opt.out); err != nil || string(after) != string(before) {
		t.Errorf("%v, the results were written again:\n%s", err, after)
	}
	text, err := os.ReadFile(filepath.Join(dir, "m/m.go"))
	if err != nil || !strings.Contains(string(text), "n + 3") {
		t.Errorf("%v, the tree was changed:\n%s", err, text)
	}
}

// Tests that fail without a fault measure nothing.
func TestTrialNeedsGreenTests(t *testing.T) {
	dir := module(t)
	if err := os.WriteFile(filepath.Join(dir, "m/m_test.go"), []byte("package m\n\nimport \"testing\"\n\nfunc TestRed(t *testing.T) { t.Fail() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := trial(t.Context(), options{dir: dir, n: 1, timeout: time.Minute, pkgs: []string{"./m"}}, &out); err == nil {
		t.Errorf("no error: %s", out.String())
	}
}

// Each kind of fault is planted, and none in the call of a logger.
func TestFunctions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.go")
	const src = `package x

func (p *T[K]) Do(a, b int) (n int, err error) {
	if a < b && p.on == true {
		p.log.Warn("code", "n", 7)
		p.call("code", "a sentence", 8)
		n++
	}
	return n, nil
}

func empty() {}
`
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := functions("m", path)
	if err != nil || len(all) != 1 || all[0].name != "T.Do" {
		t.Fatalf("%+v, %v", all, err)
	}
	var got []string
	for _, m := range all[0].ordered(1) {
		before, after := oneLine([]byte(src), m)
		got = append(got, strings.TrimSpace(m.kind+" "+before)+" → "+strings.TrimSpace(after))
		if len(plant([]byte(src), m)) != len(src)-(m.end-m.start)+len(m.text) {
			t.Errorf("%+v", m)
		}
	}
	slices.Sort(got)
	want := []string{
		`compare && → ||`, `compare < → <=`, `compare == → !=`, `constant "code" → "codex"`, `constant 8 → (8 + 1)`, `constant true → false`,
		`drop n++ →`, `drop p.call("code", "a sentence", 8) →`, `drop return n, nil →`, `negate a < b && p.on == true → !(a < b && p.on == true)`,
		`zero → return *new(int), *new(error);`,
	}
	for i := range want {
		want[i] = strings.TrimSpace(want[i])
	}
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An added function does not change the order of the others.
func TestOrderIsOfTheSeed(t *testing.T) {
	t.Parallel()
	a, b := function{pkg: "p", name: "A"}, function{pkg: "p", name: "B"}
	if a.hash(1) == b.hash(1) || a.hash(1) == a.hash(2) || a.hash(1) != (function{pkg: "p", name: "A", file: "other.go"}).hash(1) {
		t.Error("the place depends on something else than seed, package and name")
	}
}
