package lines_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/lines"
)

// tables prints the line table of every code object of a few modules, and the line that the
// interpreter itself reports for each instruction.
const tables = `
import sys, json, types, importlib
def lines(code):
    if sys.version_info >= (3, 10):
        return [(a, b, l or 0) for a, b, l in code.co_lines()]
    import dis
    starts = list(dis.findlinestarts(code))
    ends = [a for a, _ in starts[1:]] + [len(code.co_code)]
    return [(a, b, l) for (a, l), b in zip(starts, ends)]
def walk(code):
    table = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
    print(json.dumps({"table": table.hex(), "first": code.co_firstlineno, "lines": lines(code)}))
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            walk(c)
for name in ("argparse", "socket", "inspect", "threading", "decimal", "asyncio.events"):
    m = importlib.import_module(name)
    with open(m.__file__) as f:
        walk(compile(f.read(), m.__file__, "exec"))
walk(compile("def f(x):\n" + "\n" * 3000 + "  return (x +\n\n  1) if x else [\n y for y in x]\n", "far", "exec"))
`

// pythons returns the interpreters of the versions that have a table of a form.
func pythons(t *testing.T) map[string]func(table []byte, first, offset int) (int, bool) {
	t.Helper()
	found := map[string]func([]byte, int, int) (int, bool){"/usr/bin/python3.11": lines.Location}
	for version, f := range map[string]func([]byte, int, int) (int, bool){"8": lines.Lnotab, "9": lines.Lnotab, "10": lines.LineTable, "12": lines.Location, "13": lines.Location} {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		paths, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3."+version+".*/bin/python3."+version))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			found[p] = f
		}
	}
	return found
}

func TestLinesAreTheInterpreters(t *testing.T) {
	for python, line := range pythons(t) {
		out, err := exec.CommandContext(t.Context(), python, "-c", tables).Output()
		if err != nil {
			t.Fatalf("%s: %v", python, err)
		}
		codes, asked := 0, 0
		for text := range bytes.Lines(out) {
			var c struct {
				Table string
				First int
				Lines [][3]int
			}
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			table, err := hex.DecodeString(c.Table)
			if err != nil {
				t.Fatal(err)
			}
			codes++
			for _, l := range c.Lines {
				for offset := l[0]; offset < l[1]; offset += 2 {
					asked++
					if got, ok := line(table, c.First, offset); got != l[2] || !ok {
						t.Fatalf("%s: table %s from %d: the line at %d is %d, %v, want %d", python, c.Table, c.First, offset, got, ok, l[2])
					}
				}
			}
		}
		if codes < 200 || asked < 10_000 {
			t.Errorf("%s: only %d code objects, %d instructions", python, codes, asked)
		}
	}
}

func TestLinesWithoutSense(t *testing.T) {
	far := bytes.Repeat([]byte{0x80 | 13<<3, 0x7e, 0x7f, 0x7f, 0x3f}, 40)
	for name, c := range map[string]struct {
		line  func([]byte, int, int) (int, bool)
		table []byte
		first int
		at    int
		want  int
		ok    bool
	}{
		"no lnotab":               {lines.Lnotab, nil, 7, 10, 7, true},
		"lnotab below 0":          {lines.Lnotab, []byte{0, 0x80}, 1, 10, 0, false},
		"half a pair":             {lines.Lnotab, []byte{0}, 7, 10, 7, true},
		"not begun, 3.10":         {lines.LineTable, nil, 7, -2, 7, true},
		"behind the end, 3.10":    {lines.LineTable, []byte{2, 1}, 7, 10, 0, true},
		"no line, 3.10":           {lines.LineTable, []byte{2, 0x80}, 7, 0, 0, true},
		"below 0, 3.10":           {lines.LineTable, []byte{2, 0x81}, 7, 0, 0, false},
		"not begun":               {lines.Location, nil, 7, -2, 7, true},
		"behind the end":          {lines.Location, []byte{0x80 | 11<<3, 0, 0}, 7, 10, 0, true},
		"no entry":                {lines.Location, []byte{0x10}, 7, 0, 0, false},
		"no line":                 {lines.Location, []byte{0x80 | 15<<3}, 7, 0, 0, true},
		"a number cut":            {lines.Location, []byte{0x80 | 13<<3, 0x40}, 7, 0, 0, false},
		"a number over an entry":  {lines.Location, []byte{0x80 | 14<<3, 0x40, 0x80}, 7, 0, 0, false},
		"a number without an end": {lines.Location, []byte{0x80 | 14<<3, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40}, 7, 0, 0, false},
		"too far":                 {lines.Location, far, 7, 70, 0, false},
	} {
		if got, ok := c.line(c.table, c.first, c.at); got != c.want || ok != c.ok {
			t.Errorf("%s: %d, %v", name, got, ok)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte{0x80 | 13<<3, 2, 0x80}, 1, 4)
	f.Fuzz(func(t *testing.T, table []byte, first, offset int) {
		first %= 1 << 30
		for _, line := range []func([]byte, int, int) (int, bool){lines.Lnotab, lines.LineTable, lines.Location} {
			if got, ok := line(table, first, offset); got < 0 || got > 1<<24 || !ok && got != 0 {
				t.Errorf("line %d, %v", got, ok)
			}
		}
	})
}
