package naming

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	maxSettings  = 64 << 10               // bytes of a file of settings that is read
	filesTimeout = 500 * time.Millisecond // how long files are waited for
)

// fileReader looks at the files that processes see, which the exporter itself may not
// see: it may be in another mount namespace, as in a unit with PrivateTmp. One process is
// looked at at a time: a file system that hangs delays one scan for filesTimeout, and no
// file is looked at until it answers.
type fileReader struct {
	proc string // where /proc is mounted
	free chan struct{}
}

// newFileReader returns a fileReader.
func newFileReader(proc string) *fileReader {
	s := &fileReader{proc, make(chan struct{}, 1)}
	s.free <- struct{}{}
	return s
}

// of returns what f finds in the files of a process; "" if a user may have mounted what the
// process sees, or its directories cannot be opened. ok is false if they were not looked
// at: another process is, or it takes too long.
func (s *fileReader) of(pid int, f func(safefile.View) string) (text string, ok bool) {
	select {
	case <-s.free:
	default:
		return "", false
	}
	done := make(chan string, 1)
	go func() {
		text := s.look(pid, f)
		s.free <- struct{}{} // before the result, so that the next process finds it
		done <- text
	}()
	late := time.NewTimer(filesTimeout)
	defer late.Stop()
	select {
	case text := <-done:
		return text, true
	case <-late.C:
		return "", false
	}
}

// look returns what f finds in the files of a process; "" if they may not or cannot be opened.
func (s *fileReader) look(pid int, f func(safefile.View) string) string {
	if !procfs.MountedByOurs(s.proc, pid) {
		return ""
	}
	mounts, err := procfs.MountsOf(s.proc, pid)
	if err != nil {
		return ""
	}
	v := safefile.View{Check: mounts.Check}
	for name, fd := range map[string]*int{"root": &v.Root, "cwd": &v.Dir} {
		if *fd, err = procfs.OpenRetry(s.proc+"/"+strconv.Itoa(pid)+"/"+name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC); err != nil {
			return ""
		}
		defer func() { _ = unix.Close(*fd) }()
	}
	return f(v)
}

// settingsFile returns the content of a file that the settings of a process name, relative
// to its working directory; "" for a URL or a name that is no path, and if there is none of at
// most 64 KiB that root, the exporter's user or the user of the process owns, or it cannot be
// trusted or read. ok is false if it was not looked at, see of.
func (n *Namer) settingsFile(p *table.Process, name string) (text string, ok bool) {
	if name == "" || strings.Contains(name, "://") || strings.ContainsAny(name, "\x00\n") || len(name) > unix.PathMax {
		return "", true
	}
	policy := safefile.Policy{MaxBytes: maxSettings, Owners: []uint32{uint32(n.table.Owner(p).Account)}}
	return n.files.of(p.PID, func(v safefile.View) string {
		b, err := v.Read(name, policy)
		if err != nil {
			if safefile.Refused(err) || errors.Is(err, procfs.ErrMount) {
				n.refused.Add(1)
			}
			return ""
		}
		return string(b)
	})
}

// inDirectory returns the first of the names at which something, of whatever kind, is in the
// working directory of a process; "" for none, also if the owner of a file is a stranger. No
// file is read. ok is false if it was not looked at, see of.
func (n *Namer) inDirectory(p *table.Process, names ...string) (name string, ok bool) {
	policy := safefile.Policy{Owners: []uint32{uint32(n.table.Owner(p).Account)}}
	return n.files.of(p.PID, func(v safefile.View) string {
		for _, name := range names {
			if v.Has(name, policy) {
				return name
			}
		}
		return ""
	})
}
