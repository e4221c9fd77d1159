package trial_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
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

// TestBeside checks that each is called once, and that the calls in one place end at a
// failure there.
func TestBeside(t *testing.T) {
	t.Parallel()
	var sum atomic.Int64
	if err := trial.Beside([]int64{1, 2, 3, 4}, 3, func(n int64) error { sum.Add(n); return nil }); err != nil || sum.Load() != 10 {
		t.Errorf("%v: %d", err, sum.Load())
	}
	var calls []int
	fault := errors.New("third")
	err := trial.Beside([]int{1, 2, 3, 4}, 1, func(n int) error {
		if calls = append(calls, n); n == 3 {
			return fault
		}
		return nil
	})
	if !errors.Is(err, fault) || !slices.Equal(calls, []int{1, 2, 3}) {
		t.Errorf("%v: %v", err, calls)
	}
}
