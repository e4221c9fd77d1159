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
	pidFileAge = 10 * time.Second // how long an unchanged pid file is believed
)

// errPIDFile says what a pid file must not name.
var errPIDFile = errors.New("it names no process that could be the app's master")

// PIDFile is a pid file of the configuration as it was last read.
type PIDFile struct {
	path string
	pid  int
	uid  uint32 // the file's owner
	err  error  // why it is not believed; nil: it is, or there is none

	file unix.Stat_t // when it was read
	read time.Time
}

// same reports whether two states of a path are one unchanged file.
func same(x, y *unix.Stat_t) bool {
	return x.Dev == y.Dev && x.Ino == y.Ino && x.Size == y.Size && x.Mtim == y.Mtim && x.Ctim == y.Ctim && x.Ino != 0
}

// Current returns the process that the pid file names; nil with an error for
// one that is not believed, nil without one where there is no file or no process.
//
// A pid file counts only if root, the exporter's user or the process's own user
// owns it, and if nobody else can put another file in its place.
func (f *PIDFile) Current(t *table.Table, now time.Time) (*table.Process, error) {
	var st unix.Stat_t
	if err := unix.Stat(f.path, &st); errors.Is(err, unix.ENOENT) {
		f.file, f.err = unix.Stat_t{}, nil
		return nil, nil //nolint:nilnil // there is no file: the app is down
	} else if err != nil {
		f.file, f.err = unix.Stat_t{}, fmt.Errorf("pid file %s: %w", f.path, err)
		return nil, f.err
	}
	if !same(&st, &f.file) || now.Sub(f.read) > pidFileAge || now.Before(f.read) {
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
	if err := f.fits(t, p); err != nil {
		return nil, fmt.Errorf("pid file %s: %w", f.path, err)
	}
	return p, nil
}

// load reads the number twice: first to learn whose process it names, then as
// a file that this user, root or our own must own.
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
		return 0, 0, fmt.Errorf("pid file %s: it was changed while it was read", f.path)
	}
	return pid, st.Uid, nil
}

// fits checks the process that a pid file names.
func (f *PIDFile) fits(t *table.Table, p *table.Process) error {
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

// parsePID reads the content of a pid file: one number above 0, and blanks.
func parsePID(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("it holds no process id: %w", procfs.ErrShape)
	}
	return int(n), nil
}
