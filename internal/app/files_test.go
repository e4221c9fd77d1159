package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goPackage is a package as go list reports it.
type goPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// listPackages returns packages with all that they import, by import path.
func listPackages(t *testing.T, patterns ...string) map[string]goPackage {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}, patterns...)
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]goPackage)
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

// The files of a package use each other in one direction: a file that declares what
// another one uses does not use, directly or by others, what that one declares.
func TestFilesUseEachOtherInOneDirection(t *testing.T) {
	all := listPackages(t, module+"internal/heal/...")
	checked := 0
	for _, p := range all {
		if p.DepOnly || len(p.GoFiles) == 0 {
			continue
		}
		checked++
		if circle := fileCircle(fileUses(t, p, all)); circle != nil {
			t.Errorf("%s: the files use each other in a circle: %s", strings.TrimPrefix(p.ImportPath, module), strings.Join(circle, " → "))
		}
	}
	if checked < 15 {
		t.Errorf("only %d packages", checked)
	}
}

// fileUses returns which files each file of a package uses a declaration, a method or a
// field of.
func fileUses(t *testing.T, p goPackage, all map[string]goPackage) map[string]map[string]bool {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(all[path].Export) })}
	pkg, err := conf.Check(p.ImportPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	uses := make(map[string]map[string]bool)
	for id, o := range info.Uses {
		if o.Pkg() != pkg || !declared(pkg, o) {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(o.Pos()).Filename)
		if from != to {
			if uses[from] == nil {
				uses[from] = make(map[string]bool)
			}
			uses[from][to] = true
		}
	}
	return uses
}

// declared reports whether an object is a package's declaration, a method or a field.
func declared(pkg *types.Package, o types.Object) bool {
	switch o := o.(type) {
	case *types.Var:
		return o.IsField() || o.Parent() == pkg.Scope()
	case *types.Func:
		return true
	}
	return o.Parent() == pkg.Scope()
}

// fileCircle returns files of which each uses the next, and the last one is the first;
// nil: there are none.
func fileCircle(uses map[string]map[string]bool) []string {
	done := make(map[string]bool)
	var path []string
	var visit func(file string) []string
	visit = func(file string) []string {
		if i := slices.Index(path, file); i >= 0 {
			return append(slices.Clone(path[i:]), file)
		}
		if done[file] {
			return nil
		}
		path = append(path, file)
		for _, next := range slices.Sorted(maps.Keys(uses[file])) {
			if circle := visit(next); circle != nil {
				return circle
			}
		}
		path = path[:len(path)-1]
		done[file] = true
		return nil
	}
	for _, file := range slices.Sorted(maps.Keys(uses)) {
		if circle := visit(file); circle != nil {
			return circle
		}
	}
	return nil
}

// The test above finds circles, and nothing else.
func TestFileCircle(t *testing.T) {
	t.Parallel()
	of := func(pairs ...string) map[string]map[string]bool {
		uses := make(map[string]map[string]bool)
		for _, p := range pairs {
			uses[p[:1]] = map[string]bool{p[1:2]: true, p[2:]: true}
		}
		return uses
	}
	if circle := fileCircle(of("abc", "bcd", "cdd")); circle != nil {
		t.Errorf("no circle: %v", circle)
	}
	if circle := fileCircle(of("abc", "bdd", "cda", "dee")); !slices.Equal(circle, []string{"a", "c", "a"}) {
		t.Errorf("a circle: %v", circle)
	}
}
