package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const written = "../dashboards"

// The files are what the generator writes, and there is no other.
func TestFilesAreInStep(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(written, "*.json"))
	if err != nil || len(files) != len(catalog()) {
		t.Errorf("%d files for %d dashboards, %v", len(files), len(catalog()), err)
	}
	for _, d := range catalog() {
		want, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(written, d.UID+".json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes (%v): run make golden", d.UID, err)
		}
	}
}

// Panels that give no width share what the others leave.
func TestLine(t *testing.T) {
	d := newDashboard("resp-x", "X", "?")
	d.row("part")
	d.line(5, stat("a", "", "").columns(4), stat("b", "", ""), stat("c", "", ""), stat("d", "", ""))
	d.line(3, stat("e", "", ""))
	want := []gridPos{{1, 24, 0, 0}, {5, 4, 0, 1}, {5, 6, 4, 1}, {5, 7, 10, 1}, {5, 7, 17, 1}, {3, 24, 0, 6}}
	for i, p := range d.Panels {
		if p.GridPos != want[i] || p.ID != i+1 {
			t.Errorf("panel %d is at %+v, not %+v", p.ID, p.GridPos, want[i])
		}
	}
}
