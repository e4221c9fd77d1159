package discovery

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestCPUNeverGoesBack(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	p := &process{pid: 1, stat: procfs.Stat{UTime: 50, STime: 5}}
	s := &slot{p: p}
	a.members = []*process{p}
	a.count(now, map[*process]*slot{p: s})
	q := &process{pid: 2, stat: procfs.Stat{UTime: 3}} // p is gone, q took its place
	s.p = q
	a.members = []*process{q}
	a.count(now.Add(5*time.Second), map[*process]*slot{q: s})
	q.stat.UTime = 2 // no kernel does this, but a counter must stand it
	a.count(now.Add(10*time.Second), map[*process]*slot{q: s})
	if a.cpu != (cpuTime{user: 53, system: 5}) || s.cpu != (cpuTime{user: 53, system: 5}) {
		t.Errorf("app %+v, slot %+v", a.cpu, s.cpu)
	}
}
