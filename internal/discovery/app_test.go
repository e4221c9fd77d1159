package discovery

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestCPUNeverGoesBack(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newApp("shop", -1)
	p := &table.Process{PID: 1, Stat: procfs.Stat{UTime: 50, STime: 5}}
	s := &slots.Slot{Process: p}
	a.members = []*table.Process{p}
	a.countCPU(now, map[*table.Process]*slots.Slot{p: s})
	q := &table.Process{PID: 2, Stat: procfs.Stat{UTime: 3}} // p is gone, q took its place
	s.Process = q
	a.members = []*table.Process{q}
	a.countCPU(now.Add(5*time.Second), map[*table.Process]*slots.Slot{q: s})
	q.Stat.UTime = 2 // no kernel does this, but a counter must stand it
	a.countCPU(now.Add(10*time.Second), map[*table.Process]*slots.Slot{q: s})
	if a.cpu != (table.CPUTime{User: 53, System: 5}) || s.CPU != (table.CPUTime{User: 53, System: 5}) {
		t.Errorf("app %+v, slot %+v", a.cpu, s.CPU)
	}
}
