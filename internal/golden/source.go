package golden

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Sources calls visit with each Go file of a directory, and of its subdirectories if deep
// is set, except tests.
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

// Literal returns the text of a string literal, without its quotes; "" for any other node.
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

// Constants has the constants of a package that are a string with a space, by their name.
type Constants map[string]string

// Add adds those of a file.
func (c Constants) Add(file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if decl, ok := n.(*ast.GenDecl); ok && decl.Tok != token.CONST {
			return false
		}
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if text := c.text(v.Values[0]); strings.Contains(text, " ") {
			c[v.Names[0].Name] = text
		}
		return true
	})
}

// text returns a sentence of the source: its strings, constants and formats, the names of
// reasons and exported names, and f(…) for a call of a function of the package. A number is
// "", all else is ….
func (c Constants) text(x ast.Expr) string {
	const variable = "…"
	switch x := x.(type) {
	case *ast.BasicLit:
		return Literal(x)
	case *ast.BinaryExpr:
		return c.text(x.X) + c.text(x.Y)
	case *ast.SelectorExpr:
		if Name(x.X) == "reason" {
			return x.Sel.Name
		}
	case *ast.Ident:
		if text := c[x.Name]; text != "" {
			return text
		}
		if x.IsExported() {
			return x.Name
		}
	case *ast.CallExpr:
		switch fun, ok := x.Fun.(*ast.Ident); {
		case Name(x.Fun) == "Sprintf":
			return c.text(x.Args[0])
		case ok:
			return fun.Name + "(" + variable + ")"
		}
	}
	return variable
}

// Values returns the texts of these fields of each composite literal of a type in a file,
// in the order of fields; "" for a field that a literal does not have. Literals without
// any of them are left out.
func (c Constants) Values(file *ast.File, typeName string, fields ...string) (out [][]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || Name(lit.Type) != typeName {
			return true
		}
		values, found := make([]string, len(fields)), false
		for i, x := range lit.Elts {
			pair, named := x.(*ast.KeyValueExpr)
			if named {
				i, x = slices.Index(fields, Name(pair.Key)), pair.Value
			}
			if i >= 0 && i < len(fields) {
				values[i], found = c.text(x), true
			}
		}
		if found {
			out = append(out, values)
		}
		return true
	})
	return out
}

// Calls returns the texts of the arguments of each call of a function or method of that
// name in a file, in the order of the source.
func (c Constants) Calls(file *ast.File, function string) (out [][]string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || Name(call.Fun) != function {
			return true
		}
		var args []string
		for _, x := range call.Args {
			args = append(args, c.text(x))
		}
		out = append(out, args)
		return true
	})
	return out
}

// Sentences returns the lines of the strings of a file, each up to its first %, of which that part
// has two spaces or more, without those in a call of New, such as errors.New.
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
