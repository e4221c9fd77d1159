package collectors

import "errors"

// SetStatfs replaces the system call of a disk collector: path to blocks used
// and available, and whether the mount point is a single file.
func (d *Disk) SetStatfs(fn func(path string) (used, available uint64, file bool, err error)) {
	d.statfs = func(path string) (diskSpace, error) {
		used, available, file, err := fn(path)
		return diskSpace{used, available, file}, err
	}
}

// Pending counts the filesystems that have not answered yet.
func (d *Disk) Pending() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.probes)
}

// Kept counts the readings of the CPU that are kept.
func (h *Host) Kept() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.past)
}

// ParseCPULine gives busy and total ticks of the first line of /proc/stat.
func ParseCPULine(b []byte) (busy, total uint64, err error) {
	r, err := parseCPULine(b)
	return r.busy, r.total, err
}

// PressureError is the error for what reading a pressure file gave.
func PressureError(errs ...error) error { return pressureError("io", errors.Join(errs...)) }
