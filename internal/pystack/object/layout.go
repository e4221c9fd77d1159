// Package object reads Python objects from the memory of a process that runs
// CPython 3.8 to 3.14 on x86-64. All that it reads is a stranger's: each address,
// length, index and sum is checked before it is used, and [Counts] has how often
// something was refused. A method with a boolean result returns false also for what cannot be
// read or makes no sense.
package object

import "fmt"

// Layout has the offsets of one build's objects, in bytes. They were computed
// with offsetof from the headers of each version (Include/ and Include/internal/ of
// CPython).
type Layout struct {
	Minor int // of version 3

	shift uint64 // what Py_TRACE_REFS puts in front of each object

	tupleItems               uint64
	strASCII, strWide        uint64 // characters of compact strings
	longTag                  bool   // the size of an int is a tag (3.12)
	cachedKeys               uint64 // of a heap type
	newKeys                  bool   // keys of dicts as of 3.11
	managed                  managedKind
	valuesHead               uint64 // bytes in front of the values of a split dict
	modules                  uint64 // interpreter to sys.modules
	varNames, free, cellVars uint64 // of code; free and cellVars are 0 where varNames has all
	locals                   uint64 // of a frame
	tagged                   bool   // values of frames have tags in their low bits
	function, qualName       uint64 // of a function: its code, its name
	Coroutine                CoroutineLayout
}

// managedKind is where an instance with a managed dict has it.
type managedKind int

const (
	managedNone   managedKind = iota
	managedApart              // 3.11: a pointer to values and one to the dict
	managedUnion              // 3.12: one pointer, whose low bit is its kind
	managedWithin             // 3.13: a pointer to the dict; the values are inside the object
)

// CoroutineLayout has the offsets of coroutines, generators and the stacks of
// their frames, in bytes.
type CoroutineLayout struct {
	Frame  uint64 // of the frame, or of its address on 3.10 and before
	Inline bool   // the frame is inside the coroutine
	State  uint64 // of the byte with the state; of the frame on 3.10; 0: none
	Top    uint64 // of the frame: address or depth of the stack
	Base   uint64 // of the frame on 3.10: address of the stack
	Depth  bool   // Top is a depth, as a 4-byte number
	Last   uint64 // of the frame on 3.8 and 3.9: its last instruction, below 0 before the first
}

// Shift returns how many bytes are in front of each object, see [LayoutOf].
func (l *Layout) Shift() uint64 { return l.shift }

// LayoutOf returns the layout of a version; an error for a version that is not known.
// Patch releases have not moved the fields that are read here. traceRefs is set for a
// build with Py_TRACE_REFS.
func LayoutOf(major, minor int, traceRefs bool) (Layout, error) {
	if major != 3 || minor < 8 || minor > 14 {
		return Layout{}, fmt.Errorf("objects of Python %d.%d are not known", major, minor)
	}
	l := Layout{
		Minor:      minor,
		tupleItems: 24, strASCII: 48, strWide: 72,
		cachedKeys: 872, function: 48, qualName: 40,
		locals: 72, varNames: 96,
	}
	switch minor {
	case 8, 9, 10:
		oldLayout(&l)
	case 11:
		l.newKeys, l.managed = true, managedApart
		l.modules = 888
		l.Coroutine = CoroutineLayout{Frame: 80, Inline: true, State: 75, Top: 64, Depth: true}
	default:
		newLayout(&l)
	}
	if traceRefs && minor <= 12 {
		l.shift = 16
	}
	return l, nil
}

// oldLayout sets what 3.8, 3.9 and 3.10 have: frames are objects, and dicts have
// the size of their keys.
func oldLayout(l *Layout) {
	l.varNames, l.free, l.cellVars = 72, 80, 88
	l.locals, l.function, l.qualName = 360, 16, 104
	l.modules = 856
	l.Coroutine = CoroutineLayout{Frame: 16, Top: 72, Last: 104}
	switch l.Minor {
	case 8:
		l.modules = 56
	case 9:
		l.cachedKeys = 864
	case 10:
		l.locals, l.function, l.qualName = 352, 48, 40
		l.Coroutine = CoroutineLayout{Frame: 16, State: 108, Top: 80, Base: 64, Depth: true}
	}
}

// newLayout sets what 3.12, 3.13 and 3.14 have.
func newLayout(l *Layout) {
	l.strASCII, l.strWide = 40, 56
	l.cachedKeys = 880
	l.longTag, l.newKeys = true, true
	l.managed, l.modules = managedUnion, 944
	l.Coroutine = CoroutineLayout{Frame: 72, Inline: true, State: 67, Top: 64, Depth: true}
	if l.Minor >= 13 {
		l.managed, l.valuesHead, l.modules = managedWithin, 8, 7656
	}
	if l.Minor == 14 {
		l.tupleItems, l.modules = 32, 7688
		l.locals, l.tagged = 80, true
		l.Coroutine.Top, l.Coroutine.Depth = 64, false
	}
}
