package cleandisk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// mount is where a file system is mounted.
type mount struct {
	point  string // as the host calls it
	seen   string // as the exporter sees it
	root   string // the directory of the file system that is there: of a bind mount not "/"
	device string // major:minor
	kind   string
}

// mounts are those that the exporter sees.
type mounts struct {
	byID    map[int]mount
	byPoint map[string]mount // of several at one point the last, which hides the others
	denied  *denied          // nil: not read yet
}

// mounts returns the mount table. No file system is touched.
func (r *Action) mounts() (*mounts, error) {
	proc, err := procfs.NewFS(r.d.ProcRoot)
	if err != nil {
		return nil, err
	}
	all, err := proc.GetMounts()
	if err != nil {
		return nil, fmt.Errorf("mounted file systems: %w", err)
	}
	m := &mounts{byID: make(map[int]mount, len(all)), byPoint: make(map[string]mount, len(all))}
	for _, x := range all {
		point := unescape(x.MountPoint)
		one := mount{point: r.onHost(point), seen: point, root: unescape(x.Root), device: x.MajorMinorVer, kind: x.FSType}
		m.byID[x.MountID], m.byPoint[point] = one, one
	}
	return m, nil
}

// rootFS returns the root directory of the host as the exporter sees it.
func (r *Action) rootFS() string { return filepath.Clean("/" + r.d.RootFS) }

// onHost returns a path as the host calls it, as in the label mountpoint; unchanged if it
// is not below the host's root directory.
func (r *Action) onHost(path string) string {
	root := r.rootFS()
	if root == "/" {
		return path
	}
	rest, ok := strings.CutPrefix(path, root)
	if ok && rest == "" {
		return "/"
	}
	if ok && rest[0] == '/' {
		return rest
	}
	return path
}

// at returns the mount that holds a clean absolute path, by the mount table alone; the zero
// mount if not even / is in the table.
func (m *mounts) at(path string) mount {
	for {
		if x, ok := m.byPoint[path]; ok || path == "/" {
			return x
		}
		path = filepath.Dir(path)
	}
}

// of returns the mount of an open directory. It is an error if that is not in the table.
func (m *mounts) of(d *directory) (mount, error) {
	b, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(d.fd))
	if err != nil {
		return mount{}, err
	}
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte("mnt_id:"))
		if !ok {
			continue
		}
		id, err := strconv.Atoi(string(bytes.TrimSpace(rest)))
		if err != nil {
			return mount{}, err
		}
		if x, ok := m.byID[id]; ok {
			return x, nil
		}
	}
	return mount{}, fmt.Errorf("the mount of %s is not known", d.path)
}

// named reports whether a mount is the one that an alert names: the same device, under
// whatever path; false for a label that names no mount. A label is only compared.
func (m *mounts) named(x mount, label string) bool {
	if x.point == label {
		return true
	}
	for _, y := range m.byPoint {
		if y.point == label {
			return y.device == x.device
		}
	}
	return false
}

// checkLocal refuses a directory that by the mount table is on a file system of a type that is
// not in [local]: its calls may hang; zero: the directory may be opened.
func (m *mounts) checkLocal(path string) action.Refusal {
	if x := m.at(path); !isLocal(x.kind) {
		return action.Refuse(action.CodeFileSystem, "%s is on a file system of type %s: files are removed from local disks only", path, x.kind)
	}
	return action.Refusal{}
}

// unescape returns a path of /proc/PID/mountinfo without its octal escapes.
func unescape(s string) string {
	for _, x := range [][2]string{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, x[0], x[1])
	}
	return s
}

// local lists the types of file systems that answer at once, and that report who has a file
// open. Calls to others, such as NFS and those in user space, may hang.
func local() []string {
	return []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "f2fs", "overlay", "bcachefs", "zfs", "jfs", "reiserfs"}
}

// isLocal reports whether a kind of file system is one of [local].
func isLocal(kind string) bool { return slices.Contains(local(), kind) }
