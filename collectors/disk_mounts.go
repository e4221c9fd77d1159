package collectors

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxMountTable is the longest mount table that is kept for the next scrape, in bytes.
const maxMountTable = 1 << 20

// mount is one mount of a table: the device, where it is mounted, and the type.
type mount struct{ device, point, kind string }

// filesystems returns the filesystems that hold data, sorted by label, in a slice that
// must not be changed: of the exporter's own mount table, or for a host's tree of that of
// process 1, which has the mount points as on the host. If that cannot be read, it is the
// part of the exporter's table below root, without root.
func (d *Disk) filesystems() ([]filesystem, error) {
	if d.root != "/" {
		if real, err := d.filesystemsOf("1", ""); err == nil {
			return real, nil
		}
		return d.filesystemsOf("self", d.root)
	}
	return d.filesystemsOf("self", "")
}

// filesystemsOf returns the filesystems that hold data, of the mount table of a process
// below a directory, sorted by label. If the table is that of the call before, and at
// most maxMountTable bytes, the slice is the same one, and the table is not parsed again.
func (d *Disk) filesystemsOf(pid, below string) ([]filesystem, error) {
	f, err := os.Open(filepath.Join(d.proc, pid, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	table := bytes.NewBufferString(pid + "\n") // so that it is not taken for another's
	if _, err := table.ReadFrom(f); err != nil {
		return nil, err
	}
	d.mu.Lock()
	real, same := d.real, bytes.Equal(table.Bytes(), d.table)
	d.mu.Unlock()
	if same {
		return real, nil
	}
	mounts, err := parseMounts(table.Bytes()[len(pid)+1:], below)
	if err != nil {
		return nil, err
	}
	real = realFilesystems(mounts)
	kept := table.Bytes()
	if len(kept) > maxMountTable {
		kept = nil
	}
	d.mu.Lock()
	d.table, d.real = kept, real
	d.mu.Unlock()
	return real, nil
}

var errMountTable = errors.New("a line of the mount table has an unknown form")

// parseMounts returns the mounts in a table, proc_pid_mountinfo(5), in its order: the one
// at a directory, as "/", and those below it, without it in their mount points; all if
// below is "". errMountTable: a line has another form.
func parseMounts(table []byte, below string) ([]mount, error) {
	var out []mount
	for line := range strings.Lines(string(table)) {
		place, source, ok := strings.Cut(line, " - ")
		fields := strings.Split(place, " ")
		kind, _, hasSource := strings.Cut(source, " ")
		if !ok || !hasSource || len(fields) < 6 {
			return nil, errMountTable
		}
		point, inside := strings.CutPrefix(fields[4], below)
		if point = cmp.Or(point, "/"); inside && point[0] == '/' {
			out = append(out, mount{fields[2], point, kind})
		}
	}
	return out, nil
}

// realFilesystems returns the filesystems that hold data, each once, sorted by label. Of
// several mounts at one point it takes the last, which hides the others; of several
// mounts of one device the one with the shortest path.
func realFilesystems(mounts []mount) []filesystem {
	at := make(map[string]mount, len(mounts))
	for _, m := range mounts {
		at[strings.ToValidUTF8(unescapeMount(m.point), "\uFFFD")] = m
	}
	byDevice := make(map[string]filesystem)
	for label, m := range at {
		if isExcluded(m.kind, label) {
			continue
		}
		old, ok := byDevice[m.device]
		if !ok || shorterMount(label, old.label) < 0 {
			byDevice[m.device] = filesystem{path: unescapeMount(m.point), label: label}
		}
	}
	out := make([]filesystem, 0, len(byDevice))
	for _, f := range byDevice {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b filesystem) int { return cmp.Compare(a.label, b.label) })
	return out
}

// shorterMount compares two mount points by length, then by name: negative if a is first,
// 0 if they are equal.
func shorterMount(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// isExcluded reports whether a mount gets no series, by a fixed list of kinds and of paths:
// it is in memory, an image, or shows the space of another one; it must not be read (autofs
// mounts then), or any user may have made it (FUSE) and it may never answer.
//
// An overlay counts only as the root of a container. Files that a container runtime
// mounts over those of an image are on the host's disk, and must not hide a volume on it.
func isExcluded(kind, mountpoint string) bool {
	switch mountpoint {
	case "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log":
		return true
	}
	if kind == "fuse" || strings.HasPrefix(kind, "fuse.") {
		return true
	}
	switch kind {
	case "overlay", "aufs":
		return mountpoint != "/"
	case "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
		"efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore", "ramfs", "resctrl",
		"rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tmpfs", "tracefs",
		"squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs":
		return true
	}
	return false
}

// unescapeMount returns a path of /proc/PID/mountinfo with the escapes of space, tab,
// newline and backslash replaced, the only ones that the kernel writes there.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
