package match

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	maxPIDFile = 64               // bytes
	pidFileAge = 10 * time.Second // how long an unchanged pid file is not read again
)

// errPIDFile means that a pid file names a process that cannot be an app's
// master.
var errPIDFile = errors.New("it does not contain the pid of a process that can be the app's master")

// PIDFile is a pid file of the configuration as it was last read.
type PIDFile struct {
	path string
	pid  int
	uid  uint32 // the file's owner
	err  error  // why it is not trusted; nil: it is, or there is none

	file unix.Stat_t // when it was read
	read time.Time
}

// sameFile reports whether two results of stat(2) are of one unchanged file; false for the
// zero value.
func sameFile(x, y *unix.Stat_t) bool {
	return x.Dev == y.Dev && x.Ino == y.Ino && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim && x.Ino != 0
}

// Current returns the process that the pid file names; nil without an error if there is no
// file or no such process, nil with one if the file cannot be read, is not trusted, has no
// pid, or names a process that it cannot mean. A pid file is trusted if root, the
// exporter's user or the process's own user owns it and nobody else can replace it.
func (f *PIDFile) Current(t *table.Table, now time.Time) (*table.Process, error) {
	var st unix.Stat_t
	if err := unix.Stat(f.path, &st); errors.Is(err, unix.ENOENT) {
		f.file, f.err = unix.Stat_t{}, nil
		return nil, nil //nolint:nilnil // there is no file: the app is down
	} else if err != nil {
		f.file, f.err = unix.Stat_t{}, fmt.Errorf("pid file %s: %w", f.path, err)
		return nil, f.err
	}
	if !sameFile(&st, &f.file) || now.Sub(f.read) > pidFileAge || now.Before(f.read) {
		f.file, f.read = st, now
		f.pid, f.uid, f.err = f.load(t)
	}
	if f.err != nil {
		return nil, f.err
	}
	p := t.Processes[f.pid]
	if p == nil {
		return nil, nil //nolint:nilnil // it has ended, or is not listed yet
	}
	if err := f.checkProcess(t, p); err != nil {
		return nil, fmt.Errorf("pid file %s: %w", f.path, err)
	}
	return p, nil
}

// load returns the pid in the file and the file's owner. It reads the file twice: first
// to learn whose process it names, then as a file that this user, root or the exporter's
// user must own.
func (f *PIDFile) load(t *table.Table) (pid int, uid uint32, err error) {
	claimed, err := safefile.Read(f.path, safefile.Policy{MaxBytes: maxPIDFile, AnyOwner: true})
	if err != nil {
		return 0, 0, fmt.Errorf("pid file %w", err)
	}
	if pid, err = parsePID(claimed); err != nil {
		return 0, 0, fmt.Errorf("pid file %s: %w", f.path, err)
	}
	p := safefile.Policy{MaxBytes: maxPIDFile, Settled: true}
	if named := t.Processes[pid]; named != nil {
		p.Owners = []uint32{uint32(t.Owner(named).Account)}
	}
	file, err := safefile.Open(f.path, p)
	if err != nil {
		return 0, 0, fmt.Errorf("pid file %w", err)
	}
	defer func() { _ = file.Close() }()
	var st unix.Stat_t
	b := make([]byte, maxPIDFile)
	n, _ := file.Read(b)
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("pid file %s: %w", f.path, err)
	}
	if again, err := parsePID(b[:n]); err != nil || again != pid {
		return 0, 0, fmt.Errorf("pid file %s: it changed while it was read", f.path)
	}
	return pid, st.Uid, nil
}

// checkProcess returns an error if the process cannot be the one that the file means: the
// exporter itself, a thread of the kernel, process 1 if it is no known server, one that
// changes its user, or one of another user than the file's, unless the file is root's or of
// the exporter's user.
func (f *PIDFile) checkProcess(t *table.Table, p *table.Process) error {
	switch o := t.Owner(p); {
	case p.PID == t.Self, p.Stat.Kernel, p.PID == 1 && !p.Program.Known():
		return fmt.Errorf("%w: %d", errPIDFile, p.PID)
	case o.Changed:
		return fmt.Errorf("%w: %d runs a program that changes its user", errPIDFile, p.PID)
	case f.uid != 0 && f.uid != t.EUID && f.uid != uint32(o.Account):
		return fmt.Errorf("%w: user id %d, and process %d is of user id %d", safefile.ErrOwner, f.uid, p.PID, o.Account)
	}
	return nil
}

// parsePID returns the number above 0 in a pid file; blanks around it are ignored.
// [procfs.ErrShape]: the file has anything else.
func parsePID(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("it does not contain a process id: %w", procfs.ErrShape)
	}
	return int(n), nil
}
