// Package layout has where CPython 3.8 to 3.14 keep what a stack is read from, as
// offsets in bytes on x86-64, taken with offsetof from the headers of each
// version. A layout is a claim: whoever uses it checks what it finds.
package layout

// Layout is the offsets of one version of CPython. A negative offset means that
// this version has no such field.
type Layout struct {
	Runtime Runtime
	Interp  Interp
	Thread  Thread
	Frame   Frame
	Code    Code
	Object  Object
	GIL     GIL
	GC      GC
	Lines   Lines
}

// Runtime is the offsets in _PyRuntime.
type Runtime struct{ InterpretersHead int }

// Interp is the offsets in PyInterpreterState.
type Interp struct{ ThreadsHead, Next int }

// Thread is the offsets in PyThreadState.
type Thread struct {
	Next, Interp, ID int
	NativeID         int // 3.11 and newer
	Frame            int // pointer to the innermost frame; to a _PyCFrame where CFrame is not negative
	CFrame           int // offset of the innermost frame in _PyCFrame: 3.11, 3.12
	Chunk, ChunkTop  int // of the data stack: 3.11 and newer
	Size             int // of what is read of it
}

// Frame is the offsets in a frame: PyFrameObject before 3.11, then
// _PyInterpreterFrame.
type Frame struct {
	Previous, Code, Instr int
	Owner                 int  // 3.11 and newer
	CStack                int  // the lowest owner that has no code of Python's
	Locals                int  // localsplus
	Size                  int  // of what is read of it
	Object                bool // it is an object with a type
	Tagged                bool // the low bits of the pointer to the code are a tag
	Unit                  int  // Instr is an index of units of so many bytes; 0: it is an address
}

// Code is the offsets in PyCodeObject.
type Code struct {
	Filename, Name, QualName int // QualName: 3.11 and newer
	FirstLine, Table         int
	Bytes                    int // before 3.11 a pointer to a bytes object; then the instructions themselves
	Size                     int // of what is read of it and proves that it is the same
	// Warmup is the offset of two bytes that change while the code runs: 3.11.
	Warmup int
}

// Object is the offsets in objects of several types.
type Object struct {
	Type                 int
	TypeName             int // tp_name
	StrLength, StrState  int
	StrASCII, StrCompact int // the characters of an ASCII string, and of another compact one
	BytesSize, BytesData int
	VarSize              int // ob_size
}

// GIL is where the interpreter's lock is.
type GIL struct {
	Interp     int // offset of a pointer to it in the interpreter: 3.12 and newer
	Base       int // else its offset in _PyRuntime
	LastHolder int // from there on
	Locked     int
	Cond       int
	Mutex      int
}

// GC is where gc.collecting is.
type GC struct {
	Runtime int // offset in _PyRuntime: 3.8
	Interp  int // else in the interpreter
}

// Lines is the form of the line table of a version.
type Lines int

// The forms of line tables.
const (
	Lnotab    Lines = iota // up to 3.9: co_lnotab
	LineTable              // 3.10: PEP 626
	Locations              // 3.11 and newer: PEP 657
)

// The sizes of pthread_cond_t and pthread_mutex_t: a futex within them is theirs.
const (
	CondSize  = 48
	MutexSize = 40
)

// For returns the layout of CPython 3.minor; ok is false for another minor than 8 to 14.
// traceRefs is set for a build with Py_TRACE_REFS, whose objects begin with two more
// pointers up to 3.12.
func For(minor int, traceRefs bool) (l Layout, ok bool) {
	switch minor {
	case 8, 9, 10:
		l = old(minor)
	case 11:
		l = eleven()
	case 12:
		l = twelve()
	case 13:
		l = thirteen()
	case 14:
		l = fourteen()
	default:
		return Layout{}, false
	}
	if traceRefs && minor <= 12 {
		l.shift(16)
	}
	return l, true
}

// old returns the layouts of 3.8 to 3.10, whose frames are objects.
func old(minor int) Layout {
	l := Layout{
		Runtime: Runtime{32},
		Interp:  Interp{ThreadsHead: 8, Next: 0},
		Thread:  Thread{Next: 8, Interp: 16, ID: 176, NativeID: -1, Frame: 24, CFrame: -1, Chunk: -1, ChunkTop: -1, Size: 184},
		Frame:   Frame{Previous: 24, Code: 32, Instr: 104, Owner: -1, Locals: 360, Size: 120, Object: true, Unit: 1},
		Code:    Code{Filename: 104, Name: 112, QualName: -1, FirstLine: 40, Table: 120, Bytes: 48, Size: 128, Warmup: -1},
		Object:  objects(48, 72),
		GIL:     GIL{Interp: -1, Base: 360, LastHolder: 0, Locked: 8, Cond: 24, Mutex: 72},
		GC:      GC{Runtime: -1, Interp: 816},
		Lines:   Lnotab,
	}
	switch minor {
	case 8:
		l.GIL.Base = 1160
		l.GC = GC{Runtime: 544, Interp: -1}
	case 10:
		l.Frame.Instr, l.Frame.Locals, l.Frame.Unit = 96, 352, 2
		l.Lines = LineTable
	}
	return l
}

// eleven returns the layout of CPython 3.11.
func eleven() Layout {
	return Layout{
		Runtime: Runtime{40},
		Interp:  Interp{ThreadsHead: 16, Next: 0},
		Thread:  Thread{Next: 8, Interp: 16, ID: 152, NativeID: 160, Frame: 56, CFrame: 8, Chunk: 296, ChunkTop: 304, Size: 312},
		Frame:   Frame{Previous: 48, Code: 32, Instr: 56, Owner: 69, CStack: 3, Locals: 72, Size: 72},
		Code:    Code{Filename: 112, Name: 120, QualName: 128, FirstLine: 72, Table: 136, Bytes: 184, Size: 144, Warmup: 52},
		Object:  objects(48, 72),
		GIL:     GIL{Interp: -1, Base: 368, LastHolder: 0, Locked: 8, Cond: 24, Mutex: 72},
		GC:      GC{Runtime: -1, Interp: 848},
		Lines:   Locations,
	}
}

// twelve returns the layout of CPython 3.12.
func twelve() Layout {
	return Layout{
		Runtime: Runtime{40},
		Interp:  Interp{ThreadsHead: 72, Next: 0},
		Thread:  Thread{Next: 8, Interp: 16, ID: 136, NativeID: 144, Frame: 56, CFrame: 0, Chunk: 232, ChunkTop: 240, Size: 248},
		Frame:   Frame{Previous: 8, Code: 0, Instr: 56, Owner: 70, CStack: 3, Locals: 72, Size: 72},
		Code:    Code{Filename: 112, Name: 120, QualName: 128, FirstLine: 68, Table: 136, Bytes: 192, Size: 144, Warmup: -1},
		Object:  objects(40, 56),
		GIL:     GIL{Interp: 384, LastHolder: 8, Locked: 16, Cond: 32, Mutex: 80},
		GC:      GC{Runtime: -1, Interp: 312},
		Lines:   Locations,
	}
}

// thirteen returns the layout of CPython 3.13.
func thirteen() Layout {
	l := twelve()
	l.Runtime.InterpretersHead = 632
	l.Interp = Interp{ThreadsHead: 7344, Next: 7264}
	l.Thread = Thread{Next: 8, Interp: 16, ID: 152, NativeID: 160, Frame: 72, CFrame: -1, Chunk: 232, ChunkTop: 240, Size: 248}
	l.Code.Bytes = 200
	l.GIL.Interp = 16
	l.GC.Interp = 7600
	return l
}

// fourteen returns the layout of CPython 3.14.
func fourteen() Layout {
	l := thirteen()
	l.Runtime.InterpretersHead = 808
	l.Interp.Next = 7272
	l.Frame.Owner, l.Frame.Locals, l.Frame.Size, l.Frame.Tagged = 74, 80, 80, true
	l.Code.Bytes = 208
	return l
}

// objects returns the offsets in strings, bytes and other small objects; ascii and
// compact are where the characters of an ASCII string and of another compact one begin.
func objects(ascii, compact int) Object {
	return Object{
		Type: 8, TypeName: 24, VarSize: 16, StrLength: 16, StrState: 32, StrASCII: ascii, StrCompact: compact,
		BytesSize: 16, BytesData: 32,
	}
}

// shift adds by to all offsets of fields that lie in objects.
func (l *Layout) shift(by int) {
	for _, at := range []*int{
		&l.Code.Filename, &l.Code.Name, &l.Code.QualName, &l.Code.FirstLine, &l.Code.Table, &l.Code.Bytes, &l.Code.Size, &l.Code.Warmup,
		&l.Object.Type, &l.Object.TypeName, &l.Object.VarSize, &l.Object.StrLength, &l.Object.StrState, &l.Object.StrASCII, &l.Object.StrCompact,
		&l.Object.BytesSize, &l.Object.BytesData,
	} {
		if *at >= 0 {
			*at += by
		}
	}
	if !l.Frame.Object {
		return
	}
	for _, at := range []*int{&l.Frame.Previous, &l.Frame.Code, &l.Frame.Instr, &l.Frame.Locals, &l.Frame.Size} {
		*at += by
	}
}
