package layout

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// DescribedSize is how many bytes of _PyRuntime [Describe] is given.
const DescribedSize = 400

// ErrFreeThreaded means that the interpreter is built without its lock.
var ErrFreeThreaded = errors.New("the interpreter is built without the global lock")

// errDescription means that _PyRuntime does not begin with a table of offsets.
var errDescription = errors.New("_PyRuntime does not begin with its table of offsets")

// Describe sets the offsets that 3.13 and 3.14 state at the beginning of _PyRuntime
// (_Py_DebugOffsets) and returns the version as PY_VERSION_HEX; 0 and an error if b
// begins with no such table. Another version or a field out of range is an error too;
// some offsets may be set then. ErrFreeThreaded: the build has no global lock.
func (l *Layout) Describe(b []byte) (version uint32, err error) {
	if len(b) < DescribedSize || string(b[:8]) != "xdebugpy" {
		return 0, errDescription
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	if word(1) > 1<<32-1 {
		return 0, errDescription
	}
	version = uint32(word(1))
	if word(2) != 0 {
		return version, ErrFreeThreaded
	}
	var fields []field
	switch version >> 16 {
	case 0x030d:
		fields = l.described(14, 19, 34)
	case 0x030e:
		fields = l.described(15, 22, 39)
	default:
		return version, fmt.Errorf("%w: version %#x", errDescription, version)
	}
	for _, f := range fields {
		v := word(f.word)
		if v > f.limit || v%f.align != 0 {
			return version, fmt.Errorf("%w: word %d is %d", errDescription, f.word, v)
		}
		*f.into = int(v)
	}
	if end := l.Code.Table + 8; end != l.Code.Size || l.Code.Filename > end-8 || l.Code.Name > end-8 || l.Code.QualName > end-8 || l.Code.FirstLine > end-4 {
		return version, fmt.Errorf("%w: the fields of a code object", errDescription)
	}
	if size := l.Frame.Size; l.Frame.Previous > size-8 || l.Frame.Code > size-8 || l.Frame.Instr > size-8 || l.Frame.Owner > size-1 {
		return version, fmt.Errorf("%w: the fields of a frame", errDescription)
	}
	return version, nil
}

// field is one word of the table: an offset that is no more than limit.
type field struct {
	word         int
	into         *int
	limit, align uint64
}

// described returns where the table has the offsets: gil is the word of the lock,
// thread and code are the words at which their structures begin. 3.14 has a few
// words more than 3.13.
func (l *Layout) described(gil, thread, code int) []field {
	const near, far = 1 << 10, 1 << 20
	top := uint64(l.Thread.Size) - 8
	return []field{
		{5, &l.Runtime.InterpretersHead, far, 8},
		{8, &l.Interp.Next, far, 8},
		{9, &l.Interp.ThreadsHead, far, 8},
		{gil, &l.GIL.Interp, far, 8},
		{thread + 2, &l.Thread.Next, top, 8},
		{thread + 3, &l.Thread.Interp, top, 8},
		{thread + 4, &l.Thread.Frame, top, 8},
		{thread + 5, &l.Thread.ID, top, 8},
		{thread + 6, &l.Thread.NativeID, top, 8},
		{thread + 7, &l.Thread.Chunk, top, 8},
		{thread + 10, &l.Frame.Previous, near, 8},
		{thread + 11, &l.Frame.Code, near, 8},
		{thread + 12, &l.Frame.Instr, near, 8},
		{thread + 13, &l.Frame.Locals, near, 8},
		{thread + 14, &l.Frame.Owner, near, 1},
		{code + 1, &l.Code.Filename, near, 8},
		{code + 2, &l.Code.Name, near, 8},
		{code + 3, &l.Code.QualName, near, 8},
		{code + 4, &l.Code.Table, near, 8},
		{code + 5, &l.Code.FirstLine, near, 4},
		{code + 9, &l.Code.Bytes, near, 8},
	}
}
