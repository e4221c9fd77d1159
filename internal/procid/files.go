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

// ReadFiles returns what a process has open (/proc/PID/fd). More than 65,536
// descriptors are ErrTooMany. It takes the same user, or CAP_SYS_PTRACE.
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
		if err != nil {
			continue // closed meanwhile
		}
		if ino, ok := procfs.ParseSocketLink(link); ok {
			f.Sockets[ino] = true
			continue
		}
		// The name alone can be made by anybody; the numbers must match the master's.
		if !isHeartbeat(link) {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(at, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink == 0 {
			f.Heartbeats[File{st.Dev, st.Ino}] = true
		}
	}
	return f, nil
}

// isHeartbeat reports whether a link target has the name of gunicorn's heartbeat
// file.
func isHeartbeat(link string) bool {
	name, unlinked := strings.CutSuffix(link, " (deleted)")
	return unlinked && strings.HasPrefix(filepath.Base(name), "wgunicorn-")
}

// Shares reports whether both have one of these sockets open.
func (f Files) Shares(g Files, sockets map[uint64]bool) bool {
	for ino := range sockets {
		if f.Sockets[ino] && g.Sockets[ino] {
			return true
		}
	}
	return false
}
