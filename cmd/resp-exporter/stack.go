package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// stackOptions are the settings of the command stack.
type stackOptions struct {
	pid    int
	output string // "text" or "json"
}

// stackReport is the answer of the command stack, as JSON writes it.
type stackReport struct {
	PID        int           `json:"pid"`
	Python     string        `json:"python"`
	Collecting bool          `json:"collecting"` // the garbage collector runs
	Left       int           `json:"threads_left_out"`
	Threads    []threadStack `json:"threads"`
}

// threadStack is one thread of a [stackReport].
type threadStack struct {
	TID       int         `json:"tid"`
	Main      bool        `json:"main"`
	Name      string      `json:"name"` // as the kernel has it
	State     string      `json:"state"`
	Call      string      `json:"call"` // the system call that it waits in; "": none
	Lock      bool        `json:"gil"`  // it holds the interpreter's lock
	Waits     bool        `json:"waits_for_gil"`
	Outcome   string      `json:"outcome"`
	Proven    bool        `json:"proven"` // it did not run while it was looked at
	Truncated bool        `json:"truncated"`
	Frames    []lineFrame `json:"frames"` // the innermost first
}

type lineFrame struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

const (
	stackTries = 20
	stackPause = 5 * time.Millisecond
)

// printStacks writes where the threads of a process are to stdout and returns the exit
// code: 0, or 1 if the process cannot be read or the output not written.
func printStacks(procRoot string, o stackOptions, stdout, stderr io.Writer) int {
	r := procfs.New(procRoot)
	p, err := openPython(r, o.pid)
	if err != nil {
		printLine(stderr, "resp-exporter: %s", stackError(r, o.pid, err))
		return 1
	}
	defer p.Close()
	report, err := lookAtAll(r, p, o.pid)
	if err != nil {
		printLine(stderr, "resp-exporter: %s", stackError(r, o.pid, err))
		return 1
	}
	if err := report.print(o.output, stdout); err != nil {
		printLine(stderr, "resp-exporter: print the stacks: %v", err)
		return 1
	}
	return 0
}

// openPython opens a process whose stacks are to be read. If its interpreter has not
// started yet, it tries again for a little time; then the error is [pystack.ErrNotReady].
func openPython(r *procfs.FS, pid int) (p *pystack.Process, err error) {
	for range stackTries {
		if p, err = pystack.Open(r, pid, pystack.NewCache()); !errors.Is(err, pystack.ErrNotReady) {
			return p, err
		}
		time.Sleep(stackPause)
	}
	return p, err
}

// stackError returns a sentence that says why a process cannot be read and, if permission
// was denied, what the user can do.
func stackError(r *procfs.FS, pid int, err error) string {
	if u, ok := errors.AsType[*pystack.Unsupported](err); ok {
		return fmt.Sprintf("process %d: %v", pid, u)
	}
	switch {
	case procfs.Gone(err):
		return goneText(r, pid)
	case procfs.Denied(err) && os.Geteuid() == 0:
		return fmt.Sprintf("process %d: permission denied: the command lacks CAP_SYS_PTRACE or CAP_DAC_READ_SEARCH, as in most containers, or the process belongs to another user namespace", pid)
	case procfs.Denied(err):
		return fmt.Sprintf("process %d: permission denied: run the command as root, or with the capabilities CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", pid)
	default:
		return fmt.Sprintf("process %d: %v", pid, err)
	}
}

// goneText returns a sentence that says why a process has nothing to be read: it does not
// exist (also if its stat cannot be read for another reason), is a thread of the kernel, or
// has ended; else that it has ended or its program cannot be read, which both look the
// same.
func goneText(r *procfs.FS, pid int) string {
	b, err := r.Read(pid, "stat")
	if err != nil {
		return fmt.Sprintf("there is no process %d", pid)
	}
	switch stat, err := procfs.ParseStat(b); {
	case err != nil:
	case stat.Kernel:
		return fmt.Sprintf("process %d is a thread of the kernel", pid)
	case stat.State == 'Z' || stat.State == 'X':
		return fmt.Sprintf("process %d has ended; its parent, process %d, has not taken note of it", pid, stat.PPID)
	}
	return fmt.Sprintf("process %d has ended, or its program cannot be read", pid)
}

// lookAtAll returns where the threads of a process are, without those whose state cannot be
// read; an error if they cannot be listed, errEnded if that leaves none. Those beyond the
// bound are counted in Left. What cannot be read of the interpreter's lock and collector
// counts as not held and not running.
func lookAtAll(r *procfs.FS, p *pystack.Process, pid int) (*stackReport, error) {
	report := &stackReport{PID: pid, Python: p.Version().String(), Threads: []threadStack{}}
	tasks, err := r.Entries(r.Path(pid, "task"), nil)
	if err != nil {
		return nil, err
	}
	report.Left = max(0, len(tasks)-pystack.MaxThreads)
	lock, err := p.GIL()
	if err != nil {
		lock = pystack.GIL{}
	}
	report.Collecting, err = p.Collecting()
	if err != nil {
		report.Collecting = false
	}
	var s pystack.Stack
	for _, task := range tasks[:min(len(tasks), pystack.MaxThreads)] {
		t := threadStack{TID: task.N, Main: task.N == pid, Frames: []lineFrame{}}
		if !t.describe(r, pid) {
			continue
		}
		t.look(p, &s)
		t.Lock = lock.HolderTID == task.N
		t.Waits = lock.Cond != 0 && waitsFor(r, pid, task.N, &lock)
		report.Threads = append(report.Threads, t)
	}
	if len(report.Threads) == 0 {
		return nil, fmt.Errorf("threads of process %d: %w", pid, errEnded)
	}
	return report, nil
}

// look sets the stack of a thread. It reads the stack a few more times if the thread ran
// meanwhile.
func (t *threadStack) look(p *pystack.Process, s *pystack.Stack) {
	out := p.Look(t.TID, s)
	for range stackTries {
		if out != pystack.Torn && out != pystack.Running {
			break
		}
		time.Sleep(stackPause)
		out = p.Look(t.TID, s)
	}
	t.Outcome, t.Proven, t.Truncated = string(out), s.Frozen, s.Truncated
	if s.Syscall >= 0 {
		t.Call = callName(s.Syscall)
	}
	for i := range s.Frames {
		f := &s.Frames[i]
		t.Frames = append(t.Frames, lineFrame{Function: f.Code.Function, File: f.Code.File, Line: f.Line})
	}
}

var errEnded = errors.New("the process has ended")

// describe sets the state of a thread, and its name if that can be read. It returns false,
// and sets nothing, if the state cannot be read, as after the thread's end.
func (t *threadStack) describe(r *procfs.FS, pid int) bool {
	task := "task/" + strconv.Itoa(t.TID) + "/"
	b, err := r.Read(pid, task+"stat")
	if err != nil {
		return false
	}
	stat, err := procfs.ParseStat(b)
	if err != nil {
		return false
	}
	t.State = stateName(stat.State)
	if b, err = r.Read(pid, task+"comm"); err == nil && len(b) > 0 {
		t.Name = string(b[:len(b)-1])
	}
	return true
}

// waitsFor reports whether a thread waits for the interpreter's lock; false also if its
// system call cannot be read.
func waitsFor(r *procfs.FS, pid, tid int, lock *pystack.GIL) bool {
	b, err := r.Read(pid, "task/"+strconv.Itoa(tid)+"/syscall")
	if err != nil {
		return false
	}
	c, err := procfs.ParseSyscall(b)
	return err == nil && callName(c.NR) == "futex" && lock.Waits(c.Args[0])
}

// stateName returns a word for the state of a thread in /proc, or the letter itself if it
// has none.
func stateName(state byte) string {
	switch state {
	case 'R':
		return "running"
	case 'S':
		return "sleeping"
	case 'D':
		return "waiting for a disk or device"
	case 'T', 't':
		return "stopped"
	case 'Z', 'X':
		return "ended"
	default:
		return string(rune(state))
	}
}

// print writes the report to w, as JSON or, for any other output, as lines of text.
func (s *stackReport) print(output string, w io.Writer) error {
	if output == "json" {
		return printJSON(s, w)
	}
	var b lines
	plural := "s"
	if len(s.Threads) == 1 {
		plural = ""
	}
	b.add("process %d: Python %s, %d thread%s", s.PID, s.Python, len(s.Threads)+s.Left, plural)
	if s.Collecting {
		b.add("the garbage collector runs")
	}
	for i := range s.Threads {
		s.Threads[i].print(&b)
	}
	if s.Left > 0 {
		b.add("%d more threads are not read: at most %d are", s.Left, pystack.MaxThreads)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// print adds the lines about one thread: its name, its state and its frames.
func (t *threadStack) print(b *lines) {
	name := t.Name
	if t.Main {
		name += ", main"
	}
	what := t.State
	if t.Call != "" {
		what += " in " + t.Call
	}
	switch {
	case t.Lock:
		what += ", holds the interpreter lock"
	case t.Waits:
		what += ", waits for the interpreter lock"
	}
	b.add("thread %d (%s): %s", t.TID, name, what)
	switch {
	case t.Outcome == string(pystack.Beyond):
		b.add("    its stack is not read: of the threads of all interpreters the last %d are", pystack.MaxThreads)
	case t.Outcome != string(pystack.OK):
		b.add("    its stack cannot be told: %s", t.Outcome)
	case len(t.Frames) == 0:
		b.add("    it runs no Python code")
	}
	for _, f := range t.Frames {
		b.add("    %s (%s:%d)", f.Function, f.File, f.Line)
	}
	if t.Truncated {
		b.add("    … and more: only the innermost %d frames are read", pystack.MaxFrames)
	}
}
