package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	table  []byte                // the mount table of real
	real   []filesystem
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

// Collect implements [Collector], for the filesystems that hold data. Left out are those
// without a size, what is mounted over a single file and, with an error, those that
// cannot be read, those beyond the first 128, and those that do not answer in time: their
// statfs is not called again until the first call has returned.
func (d *Disk) Collect(ctx context.Context) (Sample, error) {
	var s Sample
	all, err := d.filesystems()
	if err != nil {
		return s, fileError("mounted filesystems", err)
	}
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

// diskTimeout returns how long to wait for all filesystems together: half of the time
// that ctx has left, so that those that answer are published in time, but at most 500 ms,
// which it also is without a deadline.
func diskTimeout(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return min(statfsTimeout, time.Until(end)/2)
	}
	return statfsTimeout
}

// start starts a statfs of a mount point and returns it, or returns the one that still
// runs: so a stuck mount holds one goroutine, not one per scrape.
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

// wait waits for the call until the limit, and reports whether it has returned. It does
// not wait for a call that has already run for 500 ms.
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

// statfs returns the used and available space of the filesystem at a path (statfs(2)), in
// blocks, and whether the path is anything but a directory.
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

// diskFailures are the filesystems that are not in the sample, by reason.
type diskFailures struct {
	stuck, refused []string
	more           int
	other          error
}

// add records the error of one filesystem. One that is not mounted any more is no error.
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

// err returns all recorded failures, joined: [Unavailable]s, and last the errors with
// another cause as they are; nil if there is none.
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

// firstThree returns the names as text, separated by commas: the first three, then how
// many more there are.
func firstThree(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}
