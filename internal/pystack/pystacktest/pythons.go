package pystacktest

import (
	"os"
	"path/filepath"
	"testing"
)

// Debian is the interpreter of the system.
const Debian = "/usr/bin/python3"

// Pythons returns the interpreters that tests use: Debian's first, whether it is there or
// not, then those of pyenv that are there, of the versions 3.8 to 3.14 in that order.
func Pythons(t testing.TB) []string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found := []string{Debian}
	for _, minor := range []string{"8", "9", "10", "11", "12", "13", "14"} {
		paths, err := filepath.Glob(filepath.Join(home, ".pyenv/versions/3."+minor+".*/bin/python3."+minor))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}
