package image

// Reason is why no stack of a process can be read.
type Reason string

// The reasons.
const (
	NotPython    Reason = "not_python"
	PyPy         Reason = "pypy"
	FreeThreaded Reason = "free_threaded"
	Musl         Reason = "musl"
	Bits         Reason = "32bit"
	Architecture Reason = "architecture"
	OldOrNew     Reason = "version"
	Stripped     Reason = "symbols"
	FUSE         Reason = "fuse"
	BadFile      Reason = "file"
	Layout       Reason = "layout"
)

// Unsupported is the error for a process whose stacks cannot be read.
type Unsupported struct{ Reason Reason }

// Error returns a sentence that says why stacks cannot be read; for a reason that is not
// known, one with the reason's own text.
func (u *Unsupported) Error() string {
	switch u.Reason {
	case NotPython:
		return "the process runs no CPython interpreter"
	case PyPy:
		return "the process runs PyPy; only stacks of CPython can be read"
	case FreeThreaded:
		return "the interpreter is a free-threaded build; only builds with the global interpreter lock can be read"
	case Musl:
		return "the interpreter uses the C library musl; only builds for glibc can be read"
	case Bits:
		return "the process is a 32-bit program; only 64-bit ones can be read"
	case Architecture:
		return "the processor is not x86-64; stacks can be read only there"
	case OldOrNew:
		return "the version of Python cannot be read; versions 3.8 to 3.14 can"
	case Stripped:
		return "the interpreter's file has no symbol _PyRuntime"
	case FUSE:
		return "the interpreter's file is on a FUSE file system, which is not read because its owner could block the read"
	case BadFile:
		return "the interpreter's file is no regular ELF file, or is larger than any interpreter"
	case Layout:
		return "the interpreter's memory is not laid out as in any known build of its version"
	default:
		return "stacks of the process cannot be read: " + string(u.Reason)
	}
}
