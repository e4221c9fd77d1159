package heal_test

import (
	"flag"
	"fmt"
	"go/ast"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// codes returns the value of each constant of the type action.Code, by its name.
func codes(t *testing.T) map[string]string {
	t.Helper()
	out := make(map[string]string)
	golden.Sources(t, "action", false, func(_ string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && golden.Name(v.Type) == "Code" {
				out[v.Names[0].Name] = golden.Literal(v.Values[0])
			}
			return true
		})
	})
	return out
}

// Each sentence with which an action refuses, as it stands in the source, with its code and
// its package: a %s or %d stands for a name or a number.
func TestGoldenRefusals(t *testing.T) {
	t.Parallel()
	known := codes(t)
	used, seen := make(map[string]bool), make(map[string]string)
	var lines []string
	golden.Sources(t, ".", true, func(path string, file *ast.File) {
		dir := filepath.Base(filepath.Dir(path))
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || golden.Name(call.Fun) != "Refuse" {
				return true
			}
			constant, sentence := golden.Name(call.Args[0]), golden.Literal(call.Args[1])
			code, ok := known[constant]
			if !ok || sentence == "" {
				t.Errorf("%s: a refusal with the code %q has no code or no sentence: %q", dir, constant, sentence)
			}
			used[constant] = true
			lines = append(lines, fmt.Sprintf("%s\t%s\t%s\n", code, dir, sentence))
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
