package watch

import "github.com/resp-exporter/resp-exporter/internal/procfs"

// memory returns the memory of a process, and when it started in ticks since the boot;
// false if it cannot be read, or is not the same process before and after.
func (w *Watcher) memory(pid int) (m procfs.Status, ticks uint64, ok bool) {
	if ticks, ok = w.start(pid); !ok {
		return m, 0, false
	}
	b, err := w.files.Read(pid, "status")
	if err != nil {
		return m, 0, false
	}
	if m, err = procfs.ParseStatus(b); err != nil {
		return m, 0, false
	}
	again, ok := w.start(pid)
	return m, ticks, ok && again == ticks
}

// start returns when a process started, in ticks since the boot; false if it cannot be
// read.
func (w *Watcher) start(pid int) (uint64, bool) {
	b, err := w.files.Read(pid, "stat")
	if err != nil {
		return 0, false
	}
	s, err := procfs.ParseStat(b)
	return s.Start, err == nil
}
