package pystack

import (
	"strings"
)

// MaxFrames is how many frames of a stack are read, from the innermost on.
const MaxFrames = 200

// Outcome is how a look at a thread ended.
type Outcome string

// The outcomes. Only after OK is the stack to be believed.
const (
	OK          Outcome = "ok"
	Running     Outcome = "running"     // the thread ran, and its stack did not hold together
	Torn        Outcome = "torn"        // the thread went on during the look, has ended, or its memory makes no sense
	NotReadable Outcome = "unsupported" // for callers, of a process that [Open] refuses
	Permission  Outcome = "permission"  // the kernel refuses the look
	Beyond      Outcome = "beyond"      // it is none of the [MaxThreads] threads that are read of the interpreters
)

// Stack is where a thread is. It is reused from look to look.
type Stack struct {
	Frames    []Frame // the innermost first; empty: the thread runs no Python code
	Truncated bool    // it has more than [MaxFrames] frames
	Frozen    bool    // the thread did not run while the stack was read
	State     uint64  // address of the thread state; 0: the interpreter does not know the thread
	Syscall   int     // number of the system call that it waits in; -1: none, or it runs
}

// Frame is one call of a Python function.
type Frame struct {
	Code *Code
	Line int    // 0: the instruction has none
	Addr uint64 // of the frame in the process: PyFrameObject before 3.11, then _PyInterpreterFrame

	code  uint64
	instr uint64
}

// Code is one code object. It does not change.
type Code struct {
	File     string // as the interpreter has it
	Function string // qualified name where the interpreter has it: 3.11 and newer
	Name     string
	Own      bool   // the app's own code: of neither the interpreter nor an installed package
	Addr     uint64 // of the code object in the process

	proof []byte // what must read the same while it is this one
	table []byte
	// compared is the table of code that was made at run time, of a template for
	// example: another one may come to have all its addresses, with other lines.
	compared []byte
	tabled   uint64 // address of the table's bytes
	first    int    // line
	size     int    // of the instructions, in bytes
	root     bool   // outermost frames have it
	recent   [4]located
	next     int
}

// located is an instruction and its line.
type located struct{ offset, line int }

// InnerFrame returns the innermost frame, which is valid until the next look; nil if the
// stack has none.
func (s *Stack) InnerFrame() *Frame {
	if len(s.Frames) == 0 {
		return nil
	}
	return &s.Frames[0]
}

// OwnFrame returns the innermost frame of the app's own code, which is valid until the
// next look; nil if there is none.
func (s *Stack) OwnFrame() *Frame {
	for i := range s.Frames {
		if s.Frames[i].Code.Own {
			return &s.Frames[i]
		}
	}
	return nil
}

// ended reports whether the outermost frame has one of three names of functions at which
// stacks end, such as "<module>", or code at which a proven stack has ended; false for a
// stack without frames and for one that was truncated.
func (s *Stack) ended() bool {
	if len(s.Frames) == 0 || s.Truncated {
		return false
	}
	c := s.Frames[len(s.Frames)-1].Code
	switch c.Name {
	case "<module>", "_bootstrap", "_run_module_as_main":
		return true
	default:
		return c.root
	}
}

// own reports whether a file has the app's own code: its path is not below lib/python3…, a
// python3….zip, site-packages or dist-packages, does not begin as one of five kinds of
// generated code do, such as "<frozen ", and is no file without a "." in a bin directory.
// It is true for any other path, "" too.
func own(file string) bool {
	for _, generated := range []string{"<frozen ", "<attrs generated", "<decorator-gen", "<__array_function__", "<template>"} {
		if strings.HasPrefix(file, generated) {
			return false
		}
	}
	if strings.Contains(file, "/site-packages/") || strings.Contains(file, "/dist-packages/") {
		return false
	}
	for rest := file; ; {
		at := strings.Index(rest, "/python3")
		if at < 0 {
			break
		}
		before, after := rest[:at], rest[at+len("/python3"):]
		if strings.HasSuffix(before, "/lib") || strings.HasSuffix(before, "/lib64") {
			return false
		}
		if strings.HasPrefix(strings.TrimLeft(after, "0123456789."), "zip/") {
			return false
		}
		rest = after
	}
	dir, base, _ := cutLast(file)
	return !strings.HasSuffix(dir, "/bin") || strings.Contains(base, ".")
}

// cutLast returns what is before and behind the last slash; "", the whole path and false
// if there is none.
func cutLast(file string) (dir, base string, ok bool) {
	at := strings.LastIndexByte(file, '/')
	if at < 0 {
		return "", file, false
	}
	return file[:at], file[at+1:], true
}
