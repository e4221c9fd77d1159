package golden

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Sources calls visit with each Go file of a directory, and of those below it where deep is
// set, that is no test.
func Sources(t testing.TB, dir string, deep bool, visit func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && !deep:
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err == nil {
			visit(path, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Name returns the last part of a name in the source, such as Refuse of action.Refuse; "":
// it is none.
func Name(x ast.Node) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// Literal returns the text of a string in the source; "": it is none.
func Literal(x ast.Node) string {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// Values returns the source of these fields of each composite literal of a type in a file;
// "" for a field that a literal does not have. Literals without any of them are left out.
func Values(file *ast.File, typeName string, fields ...string) (out [][]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || Name(lit.Type) != typeName {
			return true
		}
		values, any := make([]string, len(fields)), false
		for n, x := range lit.Elts {
			pair, ok := x.(*ast.KeyValueExpr)
			if !ok && n < len(fields) { // without names, in their order
				values[n], any = types.ExprString(x), true
			}
			for i, field := range fields {
				if ok && Name(pair.Key) == field {
					values[i], any = types.ExprString(pair.Value), true
				}
			}
		}
		if any {
			out = append(out, values)
		}
		return true
	})
	return out
}

// Calls returns the source of the arguments of each call of a function in a file.
func Calls(file *ast.File, function string) (out [][]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || Name(call.Fun) != function {
			return true
		}
		var args []string
		for _, x := range call.Args {
			args = append(args, types.ExprString(x))
		}
		out = append(out, args)
		return true
	})
	return out
}

// Sentences returns the strings of a file that have two spaces or more, up to their first %
// and each line for itself, without those of errors.New.
func Sentences(file *ast.File) (out []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && Name(call.Fun) == "New" {
			return false
		}
		for line := range strings.SplitSeq(Literal(n), "\n") {
			if text, _, _ := strings.Cut(line, "%"); strings.Count(text, " ") > 1 {
				out = append(out, text)
			}
		}
		return true
	})
	return out
}

// Constants returns the constants of a file that are a string with a space, by their name.
func Constants(file *ast.File) map[string]string {
	out := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		if decl, ok := n.(*ast.GenDecl); ok && decl.Tok != token.CONST {
			return false
		}
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if text := Literal(v.Values[0]); strings.Contains(text, " ") {
			out[v.Names[0].Name] = strconv.Quote(text)
		}
		return true
	})
	return out
}
