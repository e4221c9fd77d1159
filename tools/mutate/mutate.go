package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A fault is one change of a function: the bytes from start to end of its file are
// replaced by text.
type fault struct {
	kind       string // negate, compare, drop, constant or zero
	start, end int    // offsets in the file
	line       int
	text       string
}

// A function is one function or method with a body, and the faults that can be
// planted in it.
type function struct {
	pkg, name string // import path; Name or Type.Name
	file      string
	faults    []fault
}

// hash returns the place of a function in the order of a seed. It depends on nothing
// but the two, so a function that is added changes little of what is drawn.
func (f function) hash(seed uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s.%s", seed, f.pkg, f.name)
	return h.Sum64()
}

// ordered returns the faults of a function in the order in which they are tried: a
// kind is drawn first, so that the many constants do not displace the conditions.
func (f function) ordered(seed uint64) []fault {
	r := rand.New(rand.NewPCG(seed, f.hash(seed)))
	byKind := map[string][]fault{}
	var kinds []string
	for _, m := range f.faults {
		if byKind[m.kind] == nil {
			kinds = append(kinds, m.kind)
		}
		byKind[m.kind] = append(byKind[m.kind], m)
	}
	var all []fault
	for len(kinds) > 0 {
		k := r.IntN(len(kinds))
		left := byKind[kinds[k]]
		i := r.IntN(len(left))
		all = append(all, left[i])
		byKind[kinds[k]] = slices.Delete(left, i, i+1)
		if len(byKind[kinds[k]]) == 0 {
			kinds = slices.Delete(kinds, k, k+1)
		}
	}
	return all
}

// plant returns a copy of src with the fault in it.
func plant(src []byte, m fault) []byte {
	return slices.Concat(src[:m.start], []byte(m.text), src[m.end:])
}

// functions returns the functions of a Go file that at least one fault can be planted in.
func functions(pkg, path string) ([]function, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a file to plant faults in: %w", err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing a file to plant faults in: %w", err)
	}
	var all []function
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil || len(fn.Body.List) == 0 {
			continue
		}
		c := collector{fset: fset, src: src}
		c.zero(fn)
		ast.Inspect(fn.Body, c.visit)
		all = append(all, function{pkg: pkg, name: fullName(fn), file: path, faults: c.faults})
	}
	return all, nil
}

// fullName returns Name, or Type.Name for a method.
func fullName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// collector gathers the faults of one function.
type collector struct {
	fset   *token.FileSet
	src    []byte
	faults []fault
}

func (c *collector) offset(p token.Pos) int { return c.fset.Position(p).Offset }

func (c *collector) source(n ast.Node) string {
	return string(c.src[c.offset(n.Pos()):c.offset(n.End())])
}

func (c *collector) add(kind string, from, to token.Pos, text string) {
	c.faults = append(c.faults, fault{kind: kind, start: c.offset(from), end: c.offset(to), line: c.fset.Position(from).Line, text: text})
}

// zero adds a return of zero values as the first statement.
func (c *collector) zero(fn *ast.FuncDecl) {
	var values []string
	if fn.Type.Results != nil {
		for _, r := range fn.Type.Results.List {
			for range max(1, len(r.Names)) {
				values = append(values, "*new("+c.source(r.Type)+")")
			}
		}
	}
	at := fn.Body.Lbrace + 1
	c.add("zero", at, at, " return "+strings.Join(values, ", ")+"; ")
}

// visit adds the faults of one node, and reports whether to visit what is in it. Calls of
// a logger are left out, with all that is in them: what is logged is no result.
func (c *collector) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		c.negate(n.Cond)
	case *ast.ForStmt:
		if n.Cond != nil {
			c.negate(n.Cond)
		}
	case *ast.BinaryExpr:
		if to, ok := swapped(n.Op); ok {
			c.add("compare", n.OpPos, n.OpPos+token.Pos(len(n.Op.String())), to)
		}
	case *ast.BlockStmt:
		c.drops(n.List)
	case *ast.CaseClause:
		c.drops(n.Body)
	case *ast.CommClause:
		c.drops(n.Body)
	case *ast.BasicLit:
		c.constant(n)
	case *ast.Ident:
		if other := map[string]string{"true": "false", "false": "true"}[n.Name]; other != "" {
			c.add("constant", n.Pos(), n.End(), other)
		}
	case *ast.CallExpr:
		return !logs(n)
	}
	return true
}

func (c *collector) negate(cond ast.Expr) {
	c.add("negate", cond.Pos(), cond.End(), "!("+c.source(cond)+")")
}

// drops adds the removal of each statement that does something: calls, assignments,
// sends, branches and returns. Whether the rest compiles is found out by compiling.
func (c *collector) drops(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); ok && logs(call) {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.BranchStmt, *ast.ReturnStmt, *ast.DeferStmt, *ast.GoStmt:
		default:
			continue
		}
		c.add("drop", s.Pos(), s.End(), "")
	}
}

// constant adds a change of a number, or of a text of one word: a code. Sentences
// are left out, they have their golden files.
func (c *collector) constant(n *ast.BasicLit) {
	if n.Kind == token.INT {
		c.add("constant", n.Pos(), n.End(), "("+n.Value+" + 1)")
		return
	}
	text, err := strconv.Unquote(n.Value)
	if n.Kind == token.STRING && err == nil && text != "" && !strings.ContainsAny(text, " %") {
		c.add("constant", n.Pos(), n.End(), strconv.Quote(text+"x"))
	}
}

// swapped returns the operator that a comparison or a condition is confused with; false
// for any other operator.
func swapped(op token.Token) (string, bool) {
	to, ok := map[token.Token]string{
		token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
		token.EQL: "!=", token.NEQ: "==", token.LAND: "||", token.LOR: "&&",
	}[op]
	return to, ok
}

// logs reports whether a call writes to a logger: log.Warn(…), r.opt.Log.Info(…).
func logs(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Log"}, sel.Sel.Name) {
		return false
	}
	name := ""
	switch x := sel.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	return strings.HasPrefix(strings.ToLower(name), "log")
}

// oneLine returns the source at a fault before and after, each on one line of at most 80
// characters.
func oneLine(src []byte, m fault) (before, after string) {
	short := func(b []byte) string {
		s := string(bytes.Join(bytes.Fields(b), []byte(" ")))
		if r := []rune(s); len(r) > 80 {
			s = string(r[:79]) + "…"
		}
		return s
	}
	return short(src[m.start:m.end]), short([]byte(m.text))
}
