package collectors

import "errors"

// SetStatfs replaces the system call of a disk collector. fn returns the used and the
// available blocks, and whether the mount point is a single file.
func (d *Disk) SetStatfs(fn func(path string) (used, available uint64, file bool, err error)) {
	d.statfs = func(path string) (diskSpace, error) {
		used, available, file, err := fn(path)
		return diskSpace{used, available, file}, err
	}
}

// Pending returns the number of filesystems that have not answered yet.
func (d *Disk) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.probes)
}

// Kept returns the number of stored CPU readings.
func (h *Host) Kept() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.past)
}

// ParseCPULine returns the busy and the total ticks of the first line of /proc/stat.
func ParseCPULine(b []byte) (busy, total uint64, err error) {
	r, err := parseCPULine(b)
	return r.busy, r.total, err
}

// PressureError returns the error of the collector for errors of reading a pressure
// file.
func PressureError(errs ...error) error { return pressureError("io", errors.Join(errs...)) }

// GrowStack grows the stack of a goroutine.
func GrowStack() { growStack() }
