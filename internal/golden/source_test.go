package golden_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

const source = `package p

const late = "it is late, again"

var notConstant = "it is no constant"

func f(name string, err error) []any {
	note("a", reason.Busy, late)
	_ = errors.New("not for people here")
	return []any{
		&Error{Reason: reason.Failed, Text: late},
		Error{Text: "redis " + name + " said: " + err.Error(), Reason: Permission},
		Error{Other: 1},
		Pair{fmt.Sprintf("%d of %d are gone", 1, 2), remedyOf(name)},
		"one space", "two spaces here", "after a form: %s and more",
	}
}
`

func parse(t *testing.T) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTexts(t *testing.T) {
	t.Parallel()
	file, c := parse(t), make(golden.Constants)
	c.Add(file)
	if want := (golden.Constants{"late": "it is late, again"}); !reflect.DeepEqual(c, want) {
		t.Errorf("%q", c)
	}
	for name, x := range map[string]struct{ got, want [][]string }{
		"by name":     {c.Values(file, "Error", "Reason", "Text"), [][]string{{"Failed", "it is late, again"}, {"Permission", "redis … said: …"}}},
		"by position": {c.Values(file, "Pair", "A", "B"), [][]string{{"%d of %d are gone", "remedyOf(…)"}}},
		"of no type":  {c.Values(file, "Other", "A"), nil},
		"of a call":   {c.Calls(file, "note"), [][]string{{"a", "Busy", "it is late, again"}}},
		"sentences":   {[][]string{golden.Sentences(file)}, [][]string{{"it is late, again", "it is no constant", " said: ", "two spaces here", "after a form: "}}},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%s: got %q, want %q", name, x.got, x.want)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	var own, all []string
	golden.Sources(t, ".", false, func(path string, _ *ast.File) { own = append(own, path) })
	golden.Sources(t, "..", true, func(path string, file *ast.File) {
		if file.Name.Name == "golden" {
			all = append(all, path)
		}
	})
	if want := []string{"golden.go", "source.go"}; !reflect.DeepEqual(own, want) {
		t.Errorf("%q", own)
	}
	if want := []string{"../golden/golden.go", "../golden/source.go"}; !reflect.DeepEqual(all, want) {
		t.Errorf("%q", all)
	}
}
