// Package pystacktest runs Python programs that report where their threads are, so that a
// test or a trial can compare it with what was read from outside.
package pystacktest

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// The programs, to be given to an interpreter with -c.
var (
	//go:embed moving.py
	movingSource string
	//go:embed blocked.py
	blockedSource string
)

// slot is how many bytes of the shared memory a thread has: a word with the depth
// of its calls in the lowest byte and above it how often it has called or
// returned, then the numbers of the functions.
const slot = 4096

// Script is a Python program that runs.
type Script struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
}

// Start starts an interpreter with a program and arguments. It ends with the
// context, or by [Script.Stop].
func Start(ctx context.Context, python []string, args ...string) (*Script, error) {
	s := &Script{cmd: exec.CommandContext(ctx, python[0], append(slices.Clone(python[1:]), args...)...)}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.lines = bufio.NewReader(out)
	return s, s.cmd.Start()
}

// PID returns the process's id.
func (s *Script) PID() int { return s.cmd.Process.Pid }

// Stop ends the program.
func (s *Script) Stop() {
	_ = s.in.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Write writes to the program's standard input.
func (s *Script) Write(text string) error {
	_, err := io.WriteString(s.in, text)
	return err
}

// Read decodes the next line of the program's output.
func (s *Script) Read(into any) error {
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the program wrote nothing: %w", err)
	}
	return json.Unmarshal(line, into)
}

// StartBlocked starts the program whose threads wait, see [Blocked].
func StartBlocked(ctx context.Context, python []string) (*Script, error) {
	return Start(ctx, python, "-c", blockedSource)
}

// Frame is one frame as the interpreter itself names it.
type Frame struct {
	File, Function string
	Line           int
}

// UnmarshalJSON reads [file, function, line].
func (f *Frame) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&f.File, &f.Function, &f.Line})
}

// Blocked is the stacks of threads that wait, the innermost frame first.
type Blocked struct{ Threads map[int][]Frame }

// Differs returns the first difference between a stack and the truth; "" without one.
func Differs(s *pystack.Stack, want []Frame) string {
	if s.Truncated {
		if len(s.Frames) != pystack.MaxFrames || len(want) <= pystack.MaxFrames {
			return fmt.Sprintf("truncated at %d of %d frames", len(s.Frames), len(want))
		}
		want = want[:pystack.MaxFrames]
	}
	if len(s.Frames) != len(want) {
		return fmt.Sprintf("%d frames, want %d", len(s.Frames), len(want))
	}
	for i, f := range s.Frames {
		if got := (Frame{f.Code.File, f.Code.Function, f.Line}); got != want[i] {
			return fmt.Sprintf("frame %d is %v, want %v", i, got, want[i])
		}
	}
	return ""
}

// Moving is a program whose threads call functions at random.
type Moving struct {
	*Script

	Threads   []int
	functions map[string]function
	file      string
	shared    []byte
}

type function struct {
	ID          int
	First, Last int
	Calls       map[string]string // by line
}

// StartMoving starts the program whose threads move: mode is "blocked", "spinning",
// "alternating" or "tight". A "tight" thread does not report where it is: only which
// function calls which can be compared.
func StartMoving(ctx context.Context, python []string, seed uint64, mode string, threads int) (*Moving, error) {
	s, err := Start(ctx, python, "-c", movingSource, strconv.FormatUint(seed, 10), mode, strconv.Itoa(threads))
	if err != nil {
		return nil, err
	}
	var told struct {
		Threads   []int
		FD        int
		Functions map[string]function
		File      string
	}
	m := &Moving{Script: s}
	if err = s.Read(&told); err == nil {
		err = m.share(told.FD, len(told.Threads))
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	m.Threads, m.functions, m.file = told.Threads, told.Functions, told.File
	return m, nil
}

// share maps the memory into which the threads write their positions.
func (m *Moving) share(fd, threads int) error {
	f, err := os.Open("/proc/" + strconv.Itoa(m.PID()) + "/fd/" + strconv.Itoa(fd))
	if err != nil {
		return err
	}
	m.shared, err = unix.Mmap(int(f.Fd()), 0, threads*slot, unix.PROT_READ, unix.MAP_SHARED)
	return errors.Join(err, f.Close())
}

// Stop ends the program.
func (m *Moving) Stop() {
	m.Script.Stop()
	if m.shared != nil {
		_ = unix.Munmap(m.shared)
		m.shared = nil
	}
}

// Look reads the stack of the n-th thread. wrong is the first impossible part of a stack
// with the outcome OK; "" if there is none, or the outcome is another.
func (m *Moving) Look(p *pystack.Process, n int, s *pystack.Stack) (out pystack.Outcome, wrong string) {
	at := m.shared[n*slot : (n+1)*slot]
	var before []byte
	out = p.LookThen(m.Threads[n], s, func(*pystack.Stack) error {
		before = append(before[:0], at...)
		return nil
	})
	if out != pystack.OK {
		return out, ""
	}
	names, wrong := m.plausible(s)
	if wrong != "" {
		return out, wrong
	}
	if s.Frozen || slices.Equal(before, at) {
		return out, m.exact(names, before, s.Frozen)
	}
	return out, ""
}

// plausible returns the numbers of those functions of the stack that are the program's
// own, the innermost first. wrong is what cannot be: a line that is not in its function,
// or does not call the next frame's; "" if there is no such thing.
func (m *Moving) plausible(s *pystack.Stack) (ids []int, wrong string) {
	for i, f := range s.Frames {
		fn, ok := m.functions[f.Code.Name]
		if !ok || f.Code.File != m.file {
			continue
		}
		ids = append(ids, fn.ID)
		if f.Line < fn.First || f.Line > fn.Last {
			return nil, fmt.Sprintf("frame %d: line %d is not in %s, %d to %d", i, f.Line, f.Code.Name, fn.First, fn.Last)
		}
		if i == 0 {
			continue
		}
		inner, calls := s.Frames[i-1].Code.Name, fn.Calls[strconv.Itoa(f.Line)]
		if inner != calls {
			return nil, fmt.Sprintf("frame %d: line %d of %s calls %q, not %s", i, f.Line, f.Code.Name, calls, inner)
		}
	}
	if n := len(s.Frames); n == 0 || s.Frames[n-1].Code.Name != "<module>" && s.Frames[n-1].Code.Name != "_bootstrap" {
		return nil, "the outermost frame is not where threads begin"
	}
	return ids, ""
}

// exact returns the first difference from what the thread itself reports; "" if there is
// none, or the thread reports nothing. The innermost function may not have reported itself
// yet, or may have reported its end.
func (m *Moving) exact(ids []int, told []byte, frozen bool) string {
	depth := int(told[0])
	if depth == 255 {
		return ""
	}
	want := make([]int, 0, depth)
	for i := depth - 1; i >= 0; i-- {
		want = append(want, int(binary.LittleEndian.Uint64(told[8+8*i:])))
	}
	if slices.Equal(ids, want) || len(ids) > 0 && slices.Equal(ids[1:], want) {
		return ""
	}
	return fmt.Sprintf("functions %v, told %v, frozen %v", ids, want, frozen)
}
