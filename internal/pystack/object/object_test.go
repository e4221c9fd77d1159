package object_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// version returns the version of an interpreter.
func version(t testing.TB, python string) (major, minor int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), python, "-c", "import sys; print(*sys.version_info[:2])").Output()
	if err != nil {
		t.Fatal(python, err)
	}
	if _, err := fmt.Sscan(string(out), &major, &minor); err != nil {
		t.Fatal(python, err)
	}
	return major, minor
}

// layoutOf returns the layout of an interpreter.
func layoutOf(t testing.TB, python string) object.Layout {
	t.Helper()
	major, minor := version(t, python)
	layout, err := object.LayoutOf(major, minor, false)
	if err != nil {
		t.Fatal(err)
	}
	return layout
}

// fact is one line that testdata/values.py prints.
type fact struct {
	Kind, Type, Key string
	ID              uint64
	Code            uint64
	Want            json.RawMessage
	Len             uint64
	Fold            int
	Absent          []string
}

// start runs the script and returns its facts once it waits, and its process id.
func start(t testing.TB, python string) ([]fact, int) {
	t.Helper()
	cmd := exec.Command(python, "testdata/values.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", python, err, errors.String())
		}
	})
	var facts []fact
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var f fact
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Kind == "end" {
			return facts, cmd.Process.Pid
		}
		facts = append(facts, f)
	}
	t.Fatalf("%s ended early: %v\n%s", python, lines.Err(), errors.String())
	return nil, 0
}

// Each value is read as the interpreter itself shows it, cold and with what the
// last look used read ahead.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, python := range pystacktest.Pythons(t) {
		t.Run(python, func(t *testing.T) {
			t.Parallel()
			facts, pid := start(t, python)
			if len(facts) < 140 {
				t.Fatalf("only %d facts", len(facts))
			}
			r := object.NewReader(memory.NewProcess(pid), layoutOf(t, python), &object.Room{})
			var trail object.Trail
			for round := range 3 {
				for _, f := range facts {
					r.Begin(&trail)
					if fault := check(r, f); fault != "" {
						t.Errorf("round %d: %s %s %q: %s, want %.200s", round, f.Kind, f.Type, f.Key, fault, f.Want)
					}
					r.End(&trail)
				}
			}
			if r.Counts.Wild != 0 {
				t.Errorf("%d wild addresses in a sound process: %+v", r.Counts.Wild, r.Counts)
			}
		})
	}
}

// check returns how what is read differs from a fact, "" for not at all.
func check(r *object.Reader, f fact) string {
	if f.ID != 0 && f.Kind != "sysmodules" {
		name, ok := r.TypeName(nil, f.ID)
		if _, last, dotted := strings.Cut(string(name), "."); !ok || string(name) != f.Type && (!dotted || last != f.Type) {
			if f.Type != "ReferenceType" && f.Type != "weakref" {
				return fmt.Sprintf("the type is %q", name)
			}
		}
	}
	switch f.Kind {
	case "str", "long", "latin1", "bytes", "longbytes":
		return checkText(r, f)
	case "int", "huge", "float", "bool", "none", "datetime":
		return checkNumber(r, f)
	case "tuple", "list", "set", "many", "manyset":
		return checkItems(r, f)
	case "locals":
		return checkLocals(r, f)
	case "chain", "state":
		return checkChain(r, f)
	}
	return checkPointer(r, f)
}

func differ(got, want any, ok bool) string {
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Sprintf("got %v (%v)", got, ok)
	}
	return ""
}

func want[T any](f fact) T {
	var v T
	if err := json.Unmarshal(f.Want, &v); err != nil {
		panic(err)
	}
	return v
}

func checkText(r *object.Reader, f fact) string {
	switch f.Kind {
	case "latin1":
		got, ok := r.Latin1(nil, f.ID)
		return differ(string(got), want[string](f), ok)
	case "bytes", "longbytes":
		got, ok := r.Bytes(nil, f.ID)
		numbers := []int{}
		for _, b := range got {
			numbers = append(numbers, int(b))
		}
		return differ(numbers, want[[]int](f), ok)
	}
	s := want[string](f)
	got, ok := r.Str([]byte("x"), f.ID)
	ascii := !strings.ContainsFunc(s, func(c rune) bool { return c > 127 })
	if f.Kind == "str" && r.Equals(f.ID, s) != ascii {
		return "Equals is wrong"
	}
	if f.Kind == "str" && (r.Equals(f.ID, s+"x") || r.Equals(f.ID, "x"+s)) {
		return "equals what is longer"
	}
	return differ(string(got), "x"+s, ok)
}

func checkNumber(r *object.Reader, f fact) string {
	switch f.Kind {
	case "int":
		got, ok := r.Int(f.ID)
		return differ(strconv.FormatInt(got, 10), want[string](f), ok)
	case "huge":
		if n, ok := r.Int(f.ID); ok {
			return fmt.Sprint(n)
		}
		return ""
	case "float":
		got, ok := r.Float(f.ID)
		return differ(got, want[float64](f), ok)
	case "bool":
		got, ok := r.Bool(f.ID)
		return differ(got, want[bool](f), ok)
	case "none":
		return differ(r.IsNone(f.ID), true, true)
	}
	d, ok := r.Datetime(f.ID)
	if d.Fold != (f.Fold == 1) || d.Zone {
		return "fold or zone is wrong"
	}
	return differ([]int{d.Year, int(d.Month), d.Day, d.Hour, d.Minute, d.Second, d.Microsecond}, want[[]int](f), ok)
}

func checkItems(r *object.Reader, f fact) string {
	got := []uint64{}
	add := func(_ int, item uint64) bool { got = append(got, item); return true }
	switch f.Kind {
	case "many":
		return differ(r.List(f.ID, add), false, len(got) == 0)
	case "manyset":
		return differ(r.Set(f.ID, func(uint64) bool { return true }), false, true)
	case "tuple":
		ok := r.Tuple(f.ID, add)
		return differ(got, want[[]uint64](f), ok)
	case "list":
		ok := r.List(f.ID, add)
		return differ(got, want[[]uint64](f), ok)
	}
	ok := r.Set(f.ID, func(item uint64) bool { return add(0, item) })
	slices.Sort(got)
	return differ(got, want[[]uint64](f), ok)
}

func checkPointer(r *object.Reader, f fact) string {
	var got uint64
	var ok bool
	switch f.Kind {
	case "dict":
		got, ok = r.Lookup(f.ID, object.NewKey(f.Key))
	case "nokey":
		got, ok = r.Lookup(f.ID, object.NewKey(f.Key))
	case "attribute", "noattribute":
		got, ok = r.Attribute(f.ID, object.NewKey(f.Key))
	case "cell":
		got, ok = r.Cell(f.ID)
	case "weakref", "deadref":
		got, ok = r.WeakrefTarget(f.ID)
	case "function":
		got, ok = r.FunctionCode(f.ID)
	case "functionname":
		if got, ok = r.FunctionName(f.ID); !ok || !r.Equals(got, want[string](f)) {
			return "another name"
		}
		return ""
	case "method":
		got, ok = r.MethodSelf(f.ID)
	case "module":
		got, ok = r.ModuleAttribute(f.ID, object.NewKey(f.Key))
	case "sysmodules":
		got, ok = r.Module(f.ID, object.NewKey(f.Key))
	default:
		return "no such kind"
	}
	if strings.HasPrefix(f.Kind, "no") || f.Kind == "deadref" {
		return differ(ok, false, true)
	}
	return differ(got, want[string](f), ok)
}

// frameOf returns the interpreter's frame of a frame object.
func frameOf(r *object.Reader, obj uint64) uint64 {
	if r.Layout().Minor <= 10 {
		return obj
	}
	frame, _ := r.Field(obj, 24)
	return frame
}

func checkLocals(r *object.Reader, f fact) string {
	truth := want[map[string]uint64](f)
	names := slices.Clone(f.Absent)
	for name := range truth {
		names = append(names, name)
	}
	slots := make([]object.Slots, len(names))
	if !r.Slots(f.Code, 0, names, slots) {
		return "no slots"
	}
	for i, name := range names {
		got, ok := r.Local(frameOf(r, f.ID), slots[i])
		if wanted, there := truth[name]; ok != there || got != wanted {
			return fmt.Sprintf("%s is %d (%v, slots %v)", name, got, ok, slots[i])
		}
	}
	if r.Slots(f.Code, 1, []string{"first", "rest"}, slots[:2]); slots[0][0] != 0 || slots[1][0] >= 0 && r.Layout().Minor >= 11 {
		return fmt.Sprintf("of the first argument alone: %v", slots[:2])
	}
	return ""
}

func checkChain(r *object.Reader, f fact) string {
	if f.Kind == "state" {
		step, ok := r.Step(f.ID)
		name := map[object.State]string{object.Finished: "finished", object.Created: "created", object.Suspended: "suspended", object.Running: "running"}
		return differ(name[step.State], want[string](f), ok)
	}
	got := []string{}
	r.Chain(f.ID, func(s object.Step) bool {
		name, _ := r.TypeName(nil, s.Coroutine)
		got = append(got, string(name))
		return s.State == object.Suspended && s.Frame != 0
	})
	return differ(got, want[[]string](f), true)
}
