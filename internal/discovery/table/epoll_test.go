package table_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// A set costs its account what it took to read. One that is too large uses the allowance of
// several scans, and is not read again for half a minute.
func TestEpollTargets(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := &table.Process{PID: 10, UID: 33}
	p.Owner.Known, p.Owner.Account = true, 33
	fds := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "tfd: %8d events:       19 data: %16x  pos:0 ino:1 sdev:8\n", i, i)
		}
		return b.String()
	}
	h.write(10, "fdinfo/4", fds(3))
	h.write(10, "fdinfo/5", fds(2000))
	now := time.Unix(1000, 0)
	if got, ok := h.EpollTargets(p, 4, now); !ok || !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("%v, %t", got, ok)
	}
	if _, ok := h.EpollTargets(p, 6, now); ok {
		t.Error("a set that is not there was read")
	}
	if _, ok := h.EpollTargets(p, 5, now); ok {
		t.Error("a large set was read whole")
	}
	for scan := range 12 {
		h.Budget.Begin(false)
		now = now.Add(5 * time.Second)
		other := &table.Process{PID: 10, UID: 33}
		other.Owner = p.Owner
		_, paid := h.EpollTargets(other, 4, now) // of another process of the account
		_, ok := h.EpollTargets(p, 4, now)
		if want := scan >= 7; paid != want || ok != want { // 32,768 links, 4,096 a scan
			t.Errorf("scan %d: read %t, of another process %t", scan, ok, paid)
		}
	}
	if n := procfs.MaxRead; len(fds(2000)) < n {
		t.Errorf("a large set has less than %d bytes", n)
	}
}
