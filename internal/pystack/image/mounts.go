package image

import (
	"bytes"
	"strconv"
)

// inUserSpace reports whether the device of a file is that of a file system in user space
// (FUSE) in a table of mounts, /proc/PID/mountinfo (proc_pid_mountinfo(5)); false for a
// device that is not in the table.
func inUserSpace(mounts []byte, major, minor uint32) bool {
	device := []byte(strconv.FormatUint(uint64(major), 10) + ":" + strconv.FormatUint(uint64(minor), 10))
	for line := range bytes.Lines(mounts) {
		mount, source, ok := bytes.Cut(line, []byte(" - "))
		if !ok {
			continue
		}
		if f := bytes.Fields(mount); len(f) > 2 && bytes.Equal(f[2], device) && bytes.HasPrefix(source, []byte("fuse")) && !bytes.HasPrefix(source, []byte("fusectl ")) {
			return true
		}
	}
	return false
}
