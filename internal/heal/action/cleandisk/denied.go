package cleandisk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/config/hostactions"
)

// maxLinks bounds the links of one path that are followed, as in the kernel.
const maxLinks = 40

// inode names a directory whatever its path is.
type inode struct{ dev, ino uint64 }

// location is a directory within its file system. It is the same in every mount of it, also
// in one that begins below.
type location struct{ device, path string }

// denied are the directories from which nothing may be removed, by what they are: a path
// may lead to them through a bind mount.
type denied struct {
	trees, alone          []location // trees with all below
	treeInode, aloneInode map[inode]bool
}

// isDenied reports whether a directory is denied by its path, as the exporter sees it or as
// the host calls it: by the built-in list, or as the state directory or one below it.
func (r *Action) isDenied(path string) bool {
	if hostactions.IsDenied(path) || hostactions.IsDenied(r.onHost(path)) {
		return true
	}
	state := r.stateDir()
	return state != "" && isBelow(path, state)
}

// stateDir returns the absolute path of the exporter's state directory; "" if there is
// none.
func (r *Action) stateDir() string {
	if r.d.StateDir == "" {
		return ""
	}
	dir, err := filepath.Abs(r.d.StateDir)
	if err != nil {
		return ""
	}
	return dir
}

// isBelow reports whether a clean path is dir or below it.
func isBelow(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// denied returns the directories from which nothing may be removed: those of the host and
// those that the exporter sees. They are read once for a mount table.
func (r *Action) denied(m *mounts) *denied {
	if m.denied != nil {
		return m.denied
	}
	d := &denied{treeInode: make(map[inode]bool), aloneInode: make(map[inode]bool)}
	for _, root := range slices.Compact([]string{"/", r.rootFS()}) {
		for _, path := range hostactions.DeniedTrees() {
			d.trees = m.add(d.trees, d.treeInode, root, path)
		}
		for _, path := range hostactions.DeniedAlone() {
			d.alone = m.add(d.alone, d.aloneInode, root, path)
		}
	}
	if state := r.stateDir(); state != "" {
		d.trees = m.add(d.trees, d.treeInode, "/", state)
	}
	m.denied = d
	return d
}

// add adds to nodes and list the directory at a path below root. It returns the list,
// unchanged if there is no such directory, or it is not on a local file system.
func (m *mounts) add(list []location, nodes map[inode]bool, root, path string) []location {
	path, ok := m.resolve(root, path)
	if !ok {
		return list
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return list
	}
	nodes[inode{st.Dev, st.Ino}] = true
	return append(list, m.locate(path))
}

// resolve returns a path below root without links, also if it does not exist; absolute links
// begin at root. false: a part of it is on a file system whose calls may hang, and from which
// no file is removed, or it leads through too many links.
func (m *mounts) resolve(root, path string) (string, bool) {
	at, rest, links := root, strings.Split(path, "/"), 0
	for len(rest) > 0 {
		next := filepath.Join(at, rest[0])
		if rest = rest[1:]; !isBelow(next, root) {
			next = root
		}
		if !isLocal(m.at(next).kind) {
			return "", false
		}
		to, err := os.Readlink(next)
		if err != nil { // it is none, or is not there
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(to) {
			at = root
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return at, true
}

// locate returns the device of a path without links, and the path inside of its file
// system.
func (m *mounts) locate(path string) location {
	x := m.at(path)
	return location{x.device, filepath.Join(x.root, strings.TrimPrefix(path, x.seen))}
}

// holds reports whether a directory is denied by its place in its file system, under
// whatever path it was reached.
func (d *denied) holds(l location) bool {
	in := func(tree location) bool { return tree.device == l.device && isBelow(l.path, tree.path) }
	return slices.Contains(d.alone, l) || slices.ContainsFunc(d.trees, in)
}

// has reports whether an open directory is denied: with all below it or, if it is the
// last one of a path, by itself.
func (d *denied) has(fd int, last bool) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	n := inode{st.Dev, st.Ino}
	return d.treeInode[n] || last && d.aloneInode[n], nil
}
