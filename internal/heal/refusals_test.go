package heal_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// sources calls visit with each file of this package and of those below it that is no test.
func sources(t *testing.T, visit func(dir string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			visit(filepath.Dir(path), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// codes returns the value of each constant of the type action.Code, by its name.
func codes(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	sources(t, func(dir string, file *ast.File) {
		if dir != "action" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && name(v.Type) == "Code" {
				out[v.Names[0].Name] = literal(v.Values[0])
			}
			return true
		})
	})
	return out
}

// name returns the last part of a name in the source, such as Refuse of action.Refuse.
func name(x ast.Node) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// literal returns the text of a string in the source; "": it is none.
func literal(x ast.Node) string {
	lit, ok := x.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// Each sentence with which an action refuses, as it stands in the source, with its code and
// its package: a %s or %d stands for a name or a number.
func TestGoldenRefusals(t *testing.T) {
	t.Parallel()
	known := codes(t)
	used, seen := make(map[string]bool), make(map[string]string)
	var lines []string
	sources(t, func(dir string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || name(call.Fun) != "Refuse" {
				return true
			}
			constant, sentence := name(call.Args[0]), literal(call.Args[1])
			code, ok := known[constant]
			if !ok || sentence == "" {
				t.Errorf("%s: a refusal with the code %q has no code or no sentence: %q", dir, constant, sentence)
			}
			used[constant] = true
			lines = append(lines, fmt.Sprintf("%s\t%s\t%s\n", code, filepath.Base(dir), sentence))
			return true
		})
	})
	for constant, code := range known {
		if !used[constant] {
			t.Errorf("nothing is refused with %s", constant)
		}
		if other := seen[code]; other != "" || code == "" {
			t.Errorf("%s and %s are both %q", constant, other, code)
		}
		seen[code] = constant
	}
	slices.Sort(lines)
	golden.Check(t, "refusals.golden", []byte(strings.Join(lines, "")), *updateGolden)
}
