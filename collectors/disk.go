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
	// statfsLimit is how long a filesystem may take to tell its size. Local ones
	// take microseconds; a network filesystem whose server is gone takes for ever.
	statfsLimit = 500 * time.Millisecond
	// maxFilesystems bounds the series.
	maxFilesystems = 128
)

// Disk reads how full each real filesystem is.
type Disk struct {
	proc, root string
	statfs     func(path string) (diskSpace, error)

	mu     sync.Mutex
	probes map[string]*diskProbe // by mount point; those that still run
}

// diskSpace is one answer of statfs(2), in blocks.
type diskSpace struct {
	used, available uint64
	file            bool // the mount point is not a directory
}

// diskProbe is one statfs that runs aside, because nothing can interrupt it.
type diskProbe struct {
	since time.Time
	done  chan struct{} // closed when the rest is set
	space diskSpace
	err   error
}

// filesystem is one that is worth a series.
type filesystem struct {
	path  string // as mounted, seen from rootfs
	label string // path as a label value
}

// NewDisk makes the collector "disk" of the procfs mounted at procRoot. Where
// the host's tree is mounted below rootfs ("/host"), "/" otherwise, the series
// bear the host's names.
func NewDisk(procRoot, rootfs string) *Disk {
	return &Disk{proc: procRoot, root: filepath.Clean("/" + rootfs), statfs: statfs, probes: make(map[string]*diskProbe)}
}

// Name implements [Collector].
func (d *Disk) Name() string { return "disk" }

// Descs implements [Collector].
func (d *Disk) Descs() []*prometheus.Desc { return descs(diskUsage) }

// Collect implements [Collector]. A filesystem that does not answer is left
// out, with a Timeout in the error; no second question is put to it until the
// first is answered.
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
	limit := time.NewTimer(diskPatience(ctx))
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

// diskPatience is how long to wait for all filesystems together: half of what is
// left, so that those that did answer are still in time.
func diskPatience(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(statfsLimit, time.Until(end)/2)
	}
	return statfsLimit
}

// start asks a filesystem for its space, or joins the question that is already
// put to it: a stuck mount holds one goroutine, not one a scrape.
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

// wait reports whether the answer came before the limit. One that is overdue
// already is not waited for again.
func (p *diskProbe) wait(limit *time.Timer) bool {
	select {
	case <-p.done:
		return true
	default:
	}
	if time.Since(p.since) >= statfsLimit {
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

// mounts reads the mount table: our own, or for a host's tree that of its first
// process, which knows the mounts by the host's names.
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

// realFilesystems picks what holds data, each once and sorted: of several
// mounts at one point the last, which hides the others, and of several mounts
// of one device the one with the shortest path.
func realFilesystems(mounts []*procfs.MountInfo) []filesystem {
	at := make(map[string]*procfs.MountInfo, len(mounts))
	for _, m := range mounts {
		at[strings.ToValidUTF8(unescapeMount(m.MountPoint), "\uFFFD")] = m
	}
	byDevice := make(map[string]filesystem)
	for label, m := range at {
		if notReal(m.FSType, label) {
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

func shorterMount(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// notReal reports whether a type of filesystem lies in memory, is full by nature
// (an image) or shows another one's space. Some, such as autofs, must not even
// be asked: that would mount them. An overlay counts where it is all that a
// container has. The files that container runtimes mount over an image's lie
// on the host's disk, and must not hide a volume that lies there too.
func notReal(kind, mountpoint string) bool {
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

// unescapeMount undoes the octal escapes of /proc/PID/mountinfo.
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

func (f *diskFailures) err() error {
	var errs []error
	if len(f.stuck) > 0 {
		errs = append(errs, &Unavailable{Reason: Timeout, Detail: "no response from the file system at " + few(f.stuck)})
	}
	if len(f.refused) > 0 {
		errs = append(errs, &Unavailable{Reason: Permission, Detail: "permission denied for the file system at " + few(f.refused)})
	}
	if f.more > 0 {
		errs = append(errs, &Unavailable{Reason: Failed, Detail: fmt.Sprintf("%d file systems beyond the limit of %d are not reported", f.more, maxFilesystems)})
	}
	return errors.Join(append(errs, f.other)...)
}

// few names at most three of them.
func few(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}
