package procfs

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSets(t *testing.T) {
	poll := []byte{5, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0}
	if !pollContains(poll, []int{9}) || pollContains(poll, []int{7}) || pollContains(nil, []int{9}) {
		t.Error("poll set")
	}
	sel := make([]byte, 16)
	sel[0], sel[8] = 1<<5, 1 // descriptors 5 and 64
	if !selectContains(sel, []int{5}) || !selectContains(sel, []int{64}) || selectContains(sel, []int{6, 200, -1}) {
		t.Error("select set")
	}
	if got := appendSelected(sel, nil); !slices.Equal(got, []int{5, 64}) {
		t.Errorf("selected %v", got)
	}
	if got := pollInFDs(poll); !slices.Equal(got, []int{5, -1, 9}) {
		t.Errorf("polled %v", got)
	}
}

func TestUnixPath(t *testing.T) {
	t.Parallel()
	family := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
	for name, want := range map[string]string{"/run/x.sock\x00rest": "/run/x.sock", "/run/x": "/run/x", "\x00ab\x00c": "@ab@c", "": "", "\x00": "@"} {
		if got := unixPath(append(slices.Clone(family), name...)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := unixPath([]byte{unix.AF_INET, 0, 1, 2, 3, 4}); got != "" {
		t.Errorf("an address of another family: %q", got)
	}
}

// FuzzUnixPath: any memory of another process results in a path or in nothing.
func FuzzUnixPath(f *testing.F) {
	f.Add([]byte{1, 0, '/', 'x', 0})
	f.Add([]byte{1, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := unixPath(b); len(got) > max(len(b)-2, 0) || slices.Contains([]byte(got), 0) {
			t.Errorf("%q became %q", b, got)
		}
	})
}
