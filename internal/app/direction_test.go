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
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is one package as go list reports it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// maxRoom is how many lines a package may have, tests left out. A larger one is
// split into packages below it.
const maxRoom = 2500

// flat returns the packages that may be larger: one file a source, by design.
func flat() []string { return []string{"collectors"} }

// rooms returns all packages of the module, and the export data of all that they
// import.
func rooms(t *testing.T) (packages []listed, exports map[string]string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	exports = make(map[string]string)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if exports[p.ImportPath] = p.Export; !p.DepOnly {
			packages = append(packages, p)
		}
	}
	if len(packages) < 60 {
		t.Fatalf("only %d packages found", len(packages))
	}
	return packages, exports
}

// The files of each package call each other in one direction, and no package is larger
// than maxRoom.
func TestRooms(t *testing.T) {
	t.Parallel()
	packages, exports := rooms(t)
	t.Run("files call one way", func(t *testing.T) { filesCallOneWay(t, packages, exports) })
	t.Run("size", func(t *testing.T) { roomsAreSmall(t, packages) })
}

// filesCallOneWay checks that the files of each package call each other in one
// direction, so that it can be read from top to bottom. A method of an interface counts
// as declared where the interface is; types, fields and constants do not count.
func filesCallOneWay(t *testing.T, packages []listed, exports map[string]string) {
	t.Helper()
	for _, p := range packages {
		if circle := circleOf(callsOf(t, p, exports)); circle != nil {
			t.Errorf("%s: the files call each other in a circle: %s", p.ImportPath, strings.Join(circle, " → "))
		}
	}
}

// roomsAreSmall checks that no package has more than maxRoom lines.
func roomsAreSmall(t *testing.T, packages []listed) {
	t.Helper()
	for _, p := range packages {
		lines := 0
		for _, name := range p.GoFiles {
			b, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(b, []byte("\n"))
		}
		if name := strings.TrimPrefix(p.ImportPath, module); lines > maxRoom && !slices.Contains(flat(), name) {
			t.Errorf("%s has %d lines, more than %d: split it into packages below it", name, lines, maxRoom)
		}
	}
}

// callsOf returns which files of a package call or name functions and methods of
// which others, with one example each.
func callsOf(t *testing.T, p listed, exports map[string]string) map[string]map[string]string {
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
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	pkg, err := conf.Check(p.ImportPath, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(map[string]map[string]string)
	for id, o := range info.Uses {
		f, ok := o.(*types.Func)
		if !ok || f.Pkg() != pkg {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(f.Origin().Pos()).Filename)
		if from != to {
			if calls[from] == nil {
				calls[from] = make(map[string]string)
			}
			calls[from][to] = f.Name()
		}
	}
	return calls
}

// circleOf returns the files of a circle with a function that each calls of the
// next one; nil: there is none.
func circleOf(calls map[string]map[string]string) []string {
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
		for to := range calls[file] {
			if circle := visit(to); circle != nil {
				return circle
			}
		}
		path = path[:len(path)-1]
		done[file] = true
		return nil
	}
	for file := range calls {
		if circle := visit(file); circle != nil {
			for i := range circle[:len(circle)-1] {
				circle[i] += " (" + calls[circle[i]][circle[i+1]] + ")"
			}
			return circle
		}
	}
	return nil
}

func TestCircleOf(t *testing.T) {
	t.Parallel()
	if c := circleOf(map[string]map[string]string{"a": {"b": "B", "c": "C"}, "b": {"c": "C"}}); c != nil {
		t.Errorf("no circle: %v", c)
	}
	if c := circleOf(map[string]map[string]string{"a": {"b": "B"}, "b": {"c": "C"}, "c": {"b": "B"}}); len(c) != 3 {
		t.Errorf("b and c: %v", c)
	}
}
