// Package golden compares what tests produce with files of their testdata.
package golden

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Check fails a test unless text equals testdata/name. With update it writes the file
// instead.
func Check(t testing.TB, name string, text []byte, update bool) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("the text is not that of %s: run the test with -update and read the difference. Got:\n%s", file, text)
	}
}
