package cleandisk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// The oldest files of all directories go first, whichever directory is named first, and files
// that are open take no place of others.
func TestPlanOldestOfAll(t *testing.T) {
	t.Parallel()
	d, e := dir(t), dir(t)
	fill(t, d, "a.log.1", "b.log.1", "c.log.1", "d.log.1")
	fill(t, e, "old.log.1", "older.log.1")
	for i, name := range []string{"older.log.1", "old.log.1"} {
		at := time.Now().Add(time.Duration(i-20) * time.Hour)
		if err := os.Chtimes(filepath.Join(e, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := settings(d, e)
	s.MaxFiles = 1
	a := clean(s)
	if p := planned(t, a, nil); !slices.Equal(names(p), []string{"older.log.1"}) || p.Victims[0].Info["directory"] != e {
		t.Errorf("%+v", p)
	}
	for _, name := range []string{"old.log.1", "older.log.1"} {
		f, err := os.Open(filepath.Join(e, name))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
	}
	if p := planned(t, a, nil); !slices.Equal(names(p), []string{"a.log.1"}) {
		t.Errorf("%+v", p)
	}
}

// A file that has become one of the newest since the plan stays.
func TestApplyNewest(t *testing.T) {
	t.Parallel()
	d := dir(t)
	fill(t, d, "a.log.1", "b.log.1", "c.log.1")
	s := settings(d)
	s.KeepNewest = 1
	a := clean(s)
	p := planned(t, a, nil)
	if !slices.Equal(names(p), []string{"a.log.1", "b.log.1"}) {
		t.Fatalf("%+v", p)
	}
	if err := os.Remove(filepath.Join(d, "c.log.1")); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Apply(t.Context(), p); n != 1 || err != nil || !slices.Equal(left(t, d), []string{"b.log.1"}) {
		t.Errorf("%d, %v, %v", n, err, left(t, d))
	}
}

// Where others may write too, their files neither raise the number of which a fraction is
// taken, nor keep the owner's from being found.
func TestPlanFilesOfOthers(t *testing.T) {
	t.Parallel()
	needRoot(t)
	d := dir(t)
	chmod(t, d, 0o777|os.ModeSticky)
	fill(t, d, "a.log.1", "b.log.1", "keep", "x", "y", "z")
	for _, name := range []string{"a.log.1", "b.log.1", "keep"} {
		if err := os.Chown(filepath.Join(d, name), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	s := settings(d)
	s.Owner, s.MaxFraction = "65534", 0.5
	if p := planned(t, clean(s), nil); p.Refused.Code != action.CodeOverFraction {
		t.Errorf("two of three of the owner: %+v", p)
	}
	s.MaxFraction = 0.7
	var err error
	for i := range 100_001 {
		err = errors.Join(err, os.Symlink("x", filepath.Join(d, fmt.Sprint("l", i))))
	}
	if err != nil {
		t.Fatal(err)
	}
	if p := planned(t, clean(s), nil); p.Total != 2 {
		t.Errorf("with many names of others: %+v", p)
	}
	s.Owner = ""
	chmod(t, d, 0o755)
	if p := planned(t, clean(s), nil); p.Refused.Code != action.CodeTooManyFiles {
		t.Errorf("many names, and no owner: %+v", p)
	}
}
