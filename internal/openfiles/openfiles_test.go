package openfiles

import (
	"math"
	"testing"
)

// All purposes together leave files for the rest, whatever the limit; each gets some even of few
// files, and what it needs of many.
func TestOf(t *testing.T) {
	t.Parallel()
	for _, files := range []uint64{64, 100, 256, 1000, 1024, 4096, 65536, 1 << 20, math.MaxUint64} {
		sum := uint64(0)
		for p := Connections; p <= RedisNodes; p++ {
			n := Of(files, p)
			if n < 1 || files >= 1<<20 && uint64(n) != boundOf(p).most {
				t.Errorf("%d of %d files for purpose %d", n, files, p)
			}
			sum += uint64(n)
		}
		if left := files - sum; sum > files || left < min(reserved, files/4) {
			t.Errorf("%d of %d files are held open", sum, files)
		}
	}
	if n := Of(256, RedisNodes+1); n != 0 {
		t.Errorf("%d files for no purpose", n)
	}
}

// The figures that the documentation has: about a quarter for connections, and an eighth for two
// connections to each node of a cluster.
func TestOfPurposes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files uint64
		of    Purpose
		want  int
	}{
		{0, Connections, 0}, {64, Connections, 8}, {256, Connections, 48}, {1024, Connections, 240}, {1 << 20, Connections, 512}, {math.MaxUint64, Connections, 512},
		{1024, RedisNodes, 120}, {2048, RedisNodes, 248}, {1 << 20, RedisNodes, 1000},
		{1024, MemoryFiles, 60}, {1024, WorkerHandles, 60}, {1024, Heartbeats, 60}, {1 << 20, MemoryFiles, 1024},
	} {
		if got := Of(c.files, c.of); got != c.want {
			t.Errorf("%d of %d files for purpose %d, want %d", got, c.files, c.of, c.want)
		}
	}
}
