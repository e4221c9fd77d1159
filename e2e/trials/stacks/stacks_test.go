package stacks_test

import (
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/trials/stacks"
)

// TestStacksSmall runs the small case: Debian's Python, each kind of threads, no wrong
// stack.
func TestStacksSmall(t *testing.T) {
	t.Parallel()
	pythons, err := stacks.Pythons(stacks.Home(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range stacks.Kinds() {
		b, err := stacks.Run(t.Context(), pythons[0], kind, 0, 100, 7)
		if err != nil {
			t.Fatal(err)
		}
		if b.Wrong != 0 || b.Looks != 100 || b.OK+b.Running+b.Bad != 100 || !strings.HasPrefix(b.Version, "3.11.") {
			t.Errorf("%+v", b)
		}
		if (kind == "waiting" || kind == "blocked") && b.OK == 0 {
			t.Errorf("%s: nothing was believed", kind)
		}
	}
}

func TestTable(t *testing.T) {
	batches := []stacks.Batch{
		{Python: "a", Version: "3.11.2", Kind: "blocked", Looks: 100, OK: 100, Frozen: 100},
		{Python: "a", Version: "3.11.2", Kind: "blocked", N: 1, Looks: 100, OK: 100, Frozen: 99},
		{Python: "a", Version: "3.11.2", Kind: "spinning", Looks: 100, OK: 60, Running: 40},
		{Python: "b", Version: "3.9", Kind: "spinning", Looks: 100, OK: 10, Running: 90},
	}
	text, faults := stacks.Table(batches)
	if len(faults) != 0 || strings.Count(text, "\n") != 4 || !strings.Contains(text, "200   100.00%    99.50%") {
		t.Errorf("%v\n%s", faults, text)
	}
	batches = append(batches,
		stacks.Batch{Python: "c", Version: "3.12.1", Kind: "blocked", Looks: 100, OK: 98, Wrong: 1, Example: "line 7"},
		stacks.Batch{Python: "c", Version: "3.12.1", Kind: "alternating", Looks: 100, OK: 59},
		stacks.Batch{Python: "c", Version: "3.12.1", Kind: "spinning", Looks: 100, OK: 49},
	)
	if _, faults = stacks.Table(batches); len(faults) != 4 {
		t.Errorf("%q", faults)
	}
}

func TestPythonsOfADirectory(t *testing.T) {
	if _, err := stacks.Pythons(t.TempDir(), []string{t.TempDir()}); err == nil {
		t.Error("a directory without an interpreter")
	}
	pythons, err := stacks.Pythons(t.TempDir(), nil)
	if err != nil || len(pythons) != 1 {
		t.Errorf("%v, %v", pythons, err)
	}
}
