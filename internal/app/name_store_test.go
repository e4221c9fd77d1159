package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// Saved names are read back; a file that others could have written is refused.
func TestNameFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	f := nameFile{dir}
	list := []appname.Record{{Name: "shop@:8001", Base: "shop", Owner: 33, Bind: ":8001", Since: time.Unix(1000, 0).UTC()}}
	if err := f.Save(list); err != nil { // there is no directory: nothing is made
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the directory was made: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(); err != nil || got != nil {
		t.Errorf("no file: %v, %v", got, err)
	}
	for range 2 {
		if err := f.Save(list); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.Load(); err != nil || len(got) != 1 || got[0] != list[0] {
		t.Errorf("%+v, %v", got, err)
	}
	name := filepath.Join(dir, namesFile)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(name, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(); !errors.Is(err, safefile.ErrMode) || got != nil {
		t.Errorf("others can write it: %v, %v", got, err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", name); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Load(); err == nil || got != nil {
		t.Errorf("a link: %v, %v", got, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(list); err == nil {
		t.Error("it was saved where others can write")
	}
}

func TestParseNamesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "{}", "[", strings.Repeat(" ", maxNames+1)} {
		if got, err := parseNames(strings.NewReader(text)); err == nil {
			t.Errorf("%.20q: %v", text, got)
		}
	}
}

func FuzzParseNames(f *testing.F) {
	f.Add(`[{"name":"shop","base":"shop","owner":33}]`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := parseNames(strings.NewReader(s)); err == nil && len(got) > discovery.MaxNames {
			t.Errorf("%d records", len(got))
		}
	})
}
