package collectors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

var diskUsage = gauge("disk_usage_ratio",
	"Used share (0 to 1) of a file system's space that users other than root can use, as in df.", "mountpoint")

const (
	// statfsTimeout is the timeout of one statfs call. Local filesystems take
	// microseconds; a network filesystem whose server is gone never returns.
	statfsTimeout = 500 * time.Millisecond
	// maxFilesystems bounds the series.
	maxFilesystems = 128
)

// Disk is the collector "disk": the usage of each filesystem that holds data.
type Disk struct {
	proc, root string
	statfs     func(path string) (diskSpace, error)

	mu     sync.Mutex
	probes map[string]*diskProbe // by mount point; only those that still run
}

// diskSpace is the result of one statfs(2), in blocks.
type diskSpace struct {
	used, available uint64
	file            bool // the mount point is not a directory
}

// diskProbe is one statfs call in its own goroutine, because it cannot be
// interrupted.
type diskProbe struct {
	since time.Time
	done  chan struct{} // closed when space and err are set
	space diskSpace
	err   error
}

// filesystem is one filesystem that has a series.
type filesystem struct {
	path  string // as mounted, seen from rootfs
	label string // path as a label value
}

// NewDisk returns the collector "disk" for the procfs mounted at procRoot. rootfs
// is where the host's file tree is mounted, such as "/host", or "/"; the label
// mountpoint is the path on the host.
func NewDisk(procRoot, rootfs string) *Disk {
	return &Disk{proc: procRoot, root: filepath.Clean("/" + rootfs), statfs: statfs, probes: make(map[string]*diskProbe)}
}

// Name implements [Collector].
func (d *Disk) Name() string { return "disk" }

// Descs implements [Collector].
func (d *Disk) Descs() []*prometheus.Desc { return descs(diskUsage) }

// Collect implements [Collector]. A filesystem that does not answer is left out,
// with a Timeout in the error; its statfs is not called again until the first call
// has returned.
func (d *Disk) Collect(ctx context.Context) (Sample, error) {
	var s Sample
	mounts, err := d.mounts()
	if err != nil {
		return s, fileError("mounted filesystems", err)
	}
	all := realFilesystems(mounts)
	var failed diskFailures
	if len(all) > maxFilesystems {
		failed.more = len(all) - maxFilesystems
		all = all[:maxFilesystems]
	}
	probes := make([]*diskProbe, len(all))
	for i, f := range all {
		probes[i] = d.start(f.path)
	}
	limit := time.NewTimer(diskTimeout(ctx))
	defer limit.Stop()
	for i, f := range all {
		p := probes[i]
		switch {
		case !p.wait(limit):
			failed.stuck = append(failed.stuck, f.label)
		case p.err != nil:
			failed.add(f.label, p.err)
		case p.space.file:
			// A single file that a container runtime put there.
		case p.space.used+p.space.available > 0:
			d := model.Disk{Mountpoint: cleaned(f.label), Usage: float64(p.space.used) / float64(p.space.used+p.space.available)}
			s.add(diskUsage, d.Usage, f.label)
			s.State.Disks = append(s.State.Disks, d)
		}
	}
	return s, failed.err()
}

// diskTimeout returns how long to wait for all filesystems together: half of the
// remaining time of ctx, so that those that did answer are published in time, and
// at most statfsTimeout.
func diskTimeout(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(statfsTimeout, time.Until(end)/2)
	}
	return statfsTimeout
}

// start returns a running statfs of a mount point: a new one, or the one that still
// runs. So a stuck mount holds one goroutine, not one per scrape.
func (d *Disk) start(path string) *diskProbe {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p, ok := d.probes[path]; ok {
		return p
	}
	p := &diskProbe{since: time.Now(), done: make(chan struct{})}
	d.probes[path] = p
	go func() {
		p.space, p.err = d.statfs(filepath.Join(d.root, path))
		d.mu.Lock()
		delete(d.probes, path)
		d.mu.Unlock()
		close(p.done)
	}()
	return p
}

// wait reports whether the call returned before the limit. A call that has run for
// statfsTimeout is not waited for.
func (p *diskProbe) wait(limit *time.Timer) bool {
	select {
	case <-p.done:
		return true
	default:
	}
	if time.Since(p.since) >= statfsTimeout {
		return false
	}
	select {
	case <-p.done:
		return true
	case <-limit.C:
		limit.Reset(0) // it has run out for the others too
		return false
	}
}

// statfs returns the space of the filesystem at a path (statfs(2), stat(2)).
func statfs(path string) (diskSpace, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return diskSpace{}, err
	}
	var v unix.Statfs_t
	if err := unix.Statfs(path, &v); err != nil {
		return diskSpace{}, err
	}
	return diskSpace{
		used: v.Blocks - min(v.Blocks, v.Bfree), available: v.Bavail,
		file: st.Mode&unix.S_IFMT != unix.S_IFDIR,
	}, nil
}

// mounts returns the mount table: the exporter's own, or for a host's tree that of
// process 1, which has the mount points as on the host. If that cannot be read, it
// is the exporter's own table below root.
func (d *Disk) mounts() ([]*procfs.MountInfo, error) {
	proc, err := procfs.NewFS(d.proc)
	if err != nil {
		return nil, err
	}
	if d.root == "/" {
		return proc.GetMounts()
	}
	if all, err := proc.GetProcMounts(1); err == nil {
		return all, nil
	}
	all, err := proc.GetMounts()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(m *procfs.MountInfo) bool {
		rest, ok := strings.CutPrefix(m.MountPoint, d.root)
		m.MountPoint = cmp.Or(rest, "/")
		return !ok || m.MountPoint[0] != '/'
	}), nil
}

// realFilesystems returns the filesystems that hold data, each once, sorted by
// label: of several mounts at one point the last, which hides the others, and of
// several mounts of one device the one with the shortest path.
func realFilesystems(mounts []*procfs.MountInfo) []filesystem {
	at := make(map[string]*procfs.MountInfo, len(mounts))
	for _, m := range mounts {
		at[strings.ToValidUTF8(unescapeMount(m.MountPoint), "\uFFFD")] = m
	}
	byDevice := make(map[string]filesystem)
	for label, m := range at {
		if isExcluded(m.FSType, label) {
			continue
		}
		old, ok := byDevice[m.MajorMinorVer]
		if !ok || shorterMount(label, old.label) < 0 {
			byDevice[m.MajorMinorVer] = filesystem{path: unescapeMount(m.MountPoint), label: label}
		}
	}
	out := make([]filesystem, 0, len(byDevice))
	for _, f := range byDevice {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b filesystem) int { return cmp.Compare(a.label, b.label) })
	return out
}

// shorterMount compares two mount points by length, then by name, as cmp.Compare.
func shorterMount(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// isExcluded reports whether a mount has no series: its filesystem is in memory, is
// always full (an image) or reports the space of another one. Some types, such as
// autofs, must not be read because that would mount them. An overlay is included
// only as the root of a container. The files that container runtimes mount over
// those of an image are on the host's disk, and must not hide a volume on it.
func isExcluded(kind, mountpoint string) bool {
	switch mountpoint {
	case "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log":
		return true
	}
	switch kind {
	case "overlay", "aufs":
		return mountpoint != "/"
	case "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
		"efivarfs", "fusectl", "hugetlbfs", "mqueue", "nfsd", "nsfs", "proc", "pstore", "ramfs", "resctrl",
		"rootfs", "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tmpfs", "tracefs",
		"squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs",
		"fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse", "fuse.squashfuse":
		return true
	}
	return false
}

// unescapeMount returns a path of /proc/PID/mountinfo without octal escapes.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// diskFailures are the filesystems that are not in the sample, by reason.
type diskFailures struct {
	stuck, refused []string
	more           int
	other          error
}

// add records the error of one filesystem.
func (f *diskFailures) add(label string, err error) {
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.refused = append(f.refused, label)
	case errors.Is(err, fs.ErrNotExist):
		// Unmounted since the table was read.
	default:
		f.other = errors.Join(f.other, fmt.Errorf("space of %s: %w", label, err))
	}
}

// err returns the lacks of all failures as [Unavailable]s, joined; nil without any.
func (f *diskFailures) err() error {
	var errs []error
	if len(f.stuck) > 0 {
		errs = append(errs, &Unavailable{Reason: Timeout, Detail: "no response from the file system at " + firstThree(f.stuck)})
	}
	if len(f.refused) > 0 {
		errs = append(errs, &Unavailable{Reason: Permission, Detail: "permission denied for the file system at " + firstThree(f.refused)})
	}
	if f.more > 0 {
		errs = append(errs, &Unavailable{Reason: Failed, Detail: fmt.Sprintf("%d file systems beyond the limit of %d are not reported", f.more, maxFilesystems)})
	}
	return errors.Join(append(errs, f.other)...)
}

// firstThree returns the first three names and the number of the others.
func firstThree(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}
