package procfs_test

import (
	"errors"
	"os"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestStatus(t *testing.T) {
	s, err := procfs.ParseStatus([]byte("Name:\tVmRSS: 1 kB\nVmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t  1000 kB\nRssFile:\t 234 kB\nVmSwap:\t  7 kB\n"))
	if err != nil || s != (procfs.Status{RSS: 1234 << 10, Anon: 1000 << 10, Swap: 7 << 10}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "VmRSS: 1 kB\n", "VmRSS: x kB\nRssAnon: 1 kB\n", "VmRSS: 1 MB\nRssAnon: 1 kB\n", "VmRSS: 99999999999999999999 kB\nRssAnon: 1 kB\n"} {
		if s, err := procfs.ParseStatus([]byte(bad)); !errors.Is(err, procfs.ErrShape) {
			t.Errorf("%q: %+v, %v", bad, s, err)
		}
	}
	b, err := procfs.New("/proc").Read(os.Getpid(), "status")
	if err != nil {
		t.Fatal(err)
	}
	if s, err = procfs.ParseStatus(b); err != nil || s.Anon == 0 || s.RSS < s.Anon {
		t.Errorf("of this process: %+v, %v", s, err)
	}
}

// FuzzStatus: what is accepted has the size of a process, in whole kilobytes.
func FuzzStatus(f *testing.F) {
	f.Add([]byte("VmRSS:\t 1234 kB\nRssAnon:\t 1000 kB\nVmSwap:\t 0 kB\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := procfs.ParseStatus(b)
		if err == nil && (s.RSS|s.Anon|s.Swap)%1024 != 0 {
			t.Errorf("%+v", s)
		}
	})
}
