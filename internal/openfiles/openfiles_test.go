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
