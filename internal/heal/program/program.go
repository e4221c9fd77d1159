// Package program runs one program without a shell, with a bounded output, and
// ends its whole process group. It is the only package that starts programs.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/redact"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

const (
	// MaxOutput is how much of a program's output is kept, its end.
	MaxOutput = 64 << 10
	// programGrace is between SIGTERM and SIGKILL.
	programGrace = 5 * time.Second
	// outputDrain is how long the output may stay open after the program's end: a process
	// that has it open then has left the process group.
	outputDrain = 500 * time.Millisecond
	// longestProgram bounds a program whose caller has no deadline.
	longestProgram = 10 * time.Minute
	// BasePath is the whole environment of a program by default.
	BasePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Program is one program to be run, without a shell.
type Program struct {
	Path  string   // the file, absolute
	Argv  []string // its command line, with its name first
	Env   []string
	Dir   string
	Stdin string
	As    *syscall.Credential // nil: as ourselves
	Nice  int
	// Confined programs run code of another user: nothing that they execute gains rights
	// (no_new_privs), and they inherit none of the exporter's.
	Confined bool
	Open     *os.File // the directory that dir names by its descriptor; nil: none
}

// Close closes the directory of the program.
func (p *Program) Close() {
	if p != nil && p.Open != nil {
		_ = p.Open.Close()
	}
}

// tailBuffer is a writer that keeps the last bytes only.
type tailBuffer struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements [io.Writer]; it returns the length of b and no error. Between calls at
// most twice MaxOutput bytes are kept, so that the end is moved seldom.
func (r *tailBuffer) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(b)
	b = b[max(0, len(b)-MaxOutput):]
	if r.buf = append(r.buf, b...); len(r.buf) > 2*MaxOutput {
		r.buf = append(r.buf[:0], r.buf[len(r.buf)-MaxOutput:]...)
	}
	return n, nil
}

// String returns the end of the output, at most MaxOutput bytes.
func (r *tailBuffer) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.buf[max(0, len(r.buf)-MaxOutput):])
}

// Run runs the program to its end, at most ten minutes, and returns the last MaxOutput
// bytes of what it wrote to standard output and error, also with an error. An [ExitError]
// says that it failed. When ctx ends, its whole process group ends: SIGTERM, and SIGKILL
// after five seconds; the error is then that of ctx. The group is killed in any case when
// the program has ended.
func (p Program) Run(ctx context.Context) (output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestProgram)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	out := &tailBuffer{}
	cmd := p.command(out, p.namespaceFlags())
	err = p.start(cmd)
	if errors.Is(err, unix.EPERM) && p.namespaceFlags() != 0 { // root without CAP_SYS_ADMIN
		cmd = p.command(out, 0)
		err = p.start(cmd)
	}
	if err != nil {
		return "", fmt.Errorf("start: %w", WithoutPath(err))
	}
	if p.Confined { // where memory is short, it ends before the exporter does
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("1000"), 0)
	}
	cut := supervise(ctx, cmd.Process.Pid)
	err = cmd.Wait() // the program has ended: this waits for the output only, and not for long
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if cut != nil {
		err = cut
	}
	return out.String(), err
}

// command returns the command to start. It has no context: supervise ends it, with all
// of its group.
func (p Program) command(out io.Writer, namespaces uintptr) *exec.Cmd {
	return &exec.Cmd{
		Path: p.Path, Args: p.Argv, Env: p.Env, Dir: p.Dir, Stdin: strings.NewReader(p.Stdin), Stdout: out, Stderr: out,
		// A session of its own: no terminal of ours to write into, and its group.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: p.As, Cloneflags: namespaces}, WaitDelay: outputDrain,
	}
}

// namespaceFlags returns the flags of clone(2) for a confined program: it is the first of a
// PID namespace, so that all that it started ends with it, whatever group or session that
// went to. It takes root: 0 without, and for other programs.
func (p Program) namespaceFlags() uintptr {
	if p.Confined && os.Geteuid() == 0 {
		return syscall.CLONE_NEWPID
	}
	return 0
}

// timerSlack is by how many nanoseconds the kernel may delay a timer of a program: what it
// has without the exporter, which may have more.
const timerSlack = 50_000

// start starts the program from a thread that has dropped its ambient capabilities and has
// the slack of timers that the program inherits, and that ends afterwards.
func (p Program) start(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // Linux before 4.3 knows none
			started <- fmt.Errorf("drop capabilities: %w", err)
			return
		}
		if p.Confined {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				started <- fmt.Errorf("set no_new_privs: %w", err)
				return
			}
		}
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) // best effort
		if p.Nice != 0 {
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, p.Nice) // best effort
		}
		started <- cmd.Start()
	}()
	return <-started
}

// supervise waits until the program has ended, without reaping it, so that its pid is not
// reused before its group is killed, which it does last. nil: it ended by itself. The error of
// ctx: it got SIGTERM, and after programGrace SIGKILL.
func supervise(ctx context.Context, pid int) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	var cut error
	select {
	case <-ended:
	case <-ctx.Done():
		cut = ctx.Err()
		_ = unix.Kill(-pid, unix.SIGTERM) // an error means that no process of the group is left
		t := time.NewTimer(programGrace)
		select {
		case <-ended:
		case <-t.C:
		}
		t.Stop()
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	<-ended
	return cut
}

// ExitError is the exit status of a program that ran and failed.
type ExitError = exec.ExitError

// WithoutPath returns what is inside an error of a file or a program, without the path;
// any other error unchanged.
func WithoutPath(err error) error {
	if program, ok := errors.AsType[*exec.Error](err); ok {
		return program.Err
	}
	return process.WithoutPath(err)
}

// Resolve returns the file of an absolute path without symbolic links, or why it must not be run: name is not
// absolute or not clean, it does not exist, is no executable file, or somebody else could change it.
func Resolve(name string) (file string, refused action.Refusal) {
	if !filepath.IsAbs(name) || filepath.Clean(name) != name {
		return "", action.Refuse(action.CodeProgramPath, "the program has no absolute path")
	}
	file, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", action.Refuse(action.CodeProgramNotFound, "the program was not found: %s", WithoutPath(err))
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", action.Refuse(action.CodeProgramNotFound, "the program cannot be read: %s", WithoutPath(err))
	case !info.Mode().IsRegular():
		return "", action.Refuse(action.CodeProgramNoFile, "the program is not a regular file")
	case info.Mode()&0o111 == 0:
		return "", action.Refuse(action.CodeProgramNotExec, "the program is not executable")
	case !ownedByUs(info) || info.Mode()&0o022 != 0:
		return "", action.Refuse(action.CodeProgramUntrusted, "the program has another owner, or others can write to it")
	}
	if !safePath(name) || !safePath(file) {
		return "", action.Refuse(action.CodeDirectoryUntrusted, "a directory above the program has another owner, or others can write to it")
	}
	return file, action.Refusal{}
}

// safePath reports whether no other user could replace the file at name: neither in the
// directories above it, nor in those of the symbolic links it goes through. It is false if
// that cannot be read, or there are ten links or more.
func safePath(name string) bool {
	for range 10 {
		for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err != nil || !ownedByUs(info) || info.Mode()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
				return false
			}
			if dir == "/" {
				break
			}
		}
		to, err := os.Readlink(name)
		switch {
		case err != nil: // no link
			return true
		case filepath.IsAbs(to):
			name = filepath.Clean(to)
		default:
			name = filepath.Join(filepath.Dir(name), to)
		}
	}
	return false
}

// ownedByUs reports whether a file belongs to root or to us.
func ownedByUs(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}

var (
	outputSecret = regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:passw|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|authori[sz]ation|cookie|dsn)[A-Za-z0-9_.-]*["']?\s*[=:]\s*)(?:(?:bearer|basic)\s+)?("[^"]*"?|'[^']*'?|\S+)`)
	outputBearer = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
)

// LastLine returns the last line of a program's output that is not blank, cut to 200 bytes,
// and without what may be a secret; "" for no output.
func LastLine(output string) string {
	lines := strings.Split(strings.TrimRight(strings.ToValidUTF8(output, "�"), "\r\n\t "), "\n")
	s := lines[len(lines)-1]
	s = s[:min(len(s), 4096)]
	s = outputSecret.ReplaceAllString(redact.Text(s), "$1<removed>")
	s = outputBearer.ReplaceAllString(s, "$1 <removed>")
	return text.Clip(s, 200)
}
