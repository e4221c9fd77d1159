package procfs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// The first entries are a part of all, and reading them ends early.
func TestFirstEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const files = 3000
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(100_000_000+i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := procfs.New("/proc")
	all, err := r.Entries(dir, nil)
	if err != nil || len(all) != files {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	for _, n := range []int{0, 1, 65, 1000, files, files + 1} {
		got, err := r.FirstEntries(dir, []procfs.Entry{{N: 1}}, n)
		if err != nil || len(got)-1 < min(n, files) || len(got)-1 > max(n+16, 2*n) || !slices.Equal(got[1:], all[:len(got)-1]) {
			t.Errorf("%d of %d, %v", len(got)-1, n, err)
		}
	}
}
