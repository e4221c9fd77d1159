package procid

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Files is what a process has open that counts as proof.
type Files struct {
	Sockets    map[uint64]bool // inodes
	Heartbeats map[File]bool   // unlinked files that gunicorn makes for its workers (workertmp.py)
}

// ReadFiles returns the sockets and heartbeat files that a process has open
// (/proc/PID/fd), without those that are closed meanwhile. ErrTooMany: it has more than
// 65,536 descriptors. ErrGone: it has ended. The right to read it is that of the same user,
// or CAP_SYS_PTRACE; CAP_DAC_READ_SEARCH alone lists the descriptors but reads none, which
// is an error.
func ReadFiles(root string, pid int) (Files, error) {
	dir, err := os.Open(path(root, pid, "fd"))
	if err != nil {
		return Files{}, ended(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxDescriptors + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return Files{}, ended(err)
	}
	if len(names) > maxDescriptors {
		return Files{}, ErrTooMany
	}
	f := Files{Sockets: make(map[uint64]bool), Heartbeats: make(map[File]bool)}
	for _, name := range names {
		at := path(root, pid, "fd/"+name)
		link, err := os.Readlink(at)
		if procfs.Denied(err) {
			return Files{}, err
		}
		if err != nil {
			continue // closed meanwhile
		}
		if ino, ok := procfs.ParseSocketLink(link); ok {
			f.Sockets[ino] = true
			continue
		}
		if file, ok := heartbeatAt(at, link); ok {
			f.Heartbeats[file] = true
		}
	}
	return f, nil
}

// heartbeatAt returns the file at a descriptor whose link target is link; false if it is no
// heartbeat file (an unlinked regular one of that name), or cannot be read. The name alone
// can be made by anybody; the numbers must match the master's.
func heartbeatAt(at, link string) (File, bool) {
	if !isHeartbeat(link) {
		return File{}, false
	}
	st, err := procfs.StatLink(at)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 0 {
		return File{}, false
	}
	return File{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}, true
}

// isHeartbeat reports whether a link target has the name of gunicorn's heartbeat file,
// and is unlinked (" (deleted)").
func isHeartbeat(link string) bool {
	name, unlinked := strings.CutSuffix(link, " (deleted)")
	return unlinked && strings.HasPrefix(filepath.Base(name), "wgunicorn-")
}

// Shares reports whether there is one of the given sockets that both f and g have open.
func (f Files) Shares(g Files, sockets map[uint64]bool) bool {
	for ino := range sockets {
		if f.Sockets[ino] && g.Sockets[ino] {
			return true
		}
	}
	return false
}
