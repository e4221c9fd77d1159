package trial_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

// TestRows checks that a file is continued with the same seed only.
func TestRows(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "new", "rows.csv")
	for i, want := range [][][]string{nil, {{"a", "0"}}, {{"a", "0"}, {"a", "1"}}} {
		r, before, err := trial.Open(name, 7, "what", "n")
		if err != nil || !reflect.DeepEqual(before, want) {
			t.Fatalf("%v, %v: want %v", before, err, want)
		}
		if err := r.Write("a", string(rune('0'+i))); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := trial.Open(name, 8, "what", "n"); err == nil {
		t.Error("rows of another seed are continued")
	}
}
