// Package pystack reads the Python stacks of a running CPython process, versions
// 3.8 to 3.14 on x86-64, from its memory. The process is never stopped. A stack is
// returned only if the kernel proves that its thread did not run while it was
// read, or, for a thread that runs, if it is complete and holds together.
package pystack

import (
	"errors"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/openfiles"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack/image"
	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// Reason is why no stack of a process can be read.
type Reason = image.Reason

// Unsupported is the error for a process whose stacks cannot be read.
type Unsupported = image.Unsupported

// ErrNotReady means that the interpreter has not set itself up yet, or ends.
var ErrNotReady = errors.New("the Python interpreter is not ready yet")

// Cache has what processes share: what was found in executable files, and how
// many descriptors are kept open. It may be used by several goroutines.
type Cache struct {
	files *image.Cache
	kept  atomic.Int64 // descriptors
	limit int64
	watch *memory.Watchdog // nil: reads of memory have no deadline
}

// NewCache returns an empty cache. [openfiles.Stacks] says how many descriptors are kept open.
func NewCache() *Cache {
	return &Cache{files: image.NewCache(nil), limit: int64(openfiles.Limit(openfiles.Stacks))}
}

// NewWatchedCache returns a cache as [NewCache] does, for processes of other users: they
// are opened and read only in functions of [memory.Watchdog.Do].
func NewWatchedCache(w *memory.Watchdog) *Cache {
	c := NewCache()
	c.watch, c.files = w, image.NewCache(w.Read)
	return c
}

// Dropped returns how many executable files were forgotten because there were
// too many.
func (c *Cache) Dropped() uint64 { return c.files.Dropped() }

// Version is the version of a Python interpreter.
type Version struct {
	Major, Minor int
	Micro        int // -1: not known, which is so before 3.11
}

// String returns "3.11.2", or "3.9" without the third number.
func (v Version) String() string {
	s := strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)
	if v.Micro >= 0 {
		s += "." + strconv.Itoa(v.Micro)
	}
	return s
}

// Stats counts what the bounds left out.
type Stats struct {
	Truncated     uint64 // stacks with more than [MaxFrames] frames
	LongStrings   uint64 // names that were cut
	LongTables    uint64 // line tables that were not read
	CodesDropped  uint64 // code objects that were forgotten
	ThreadsBeyond uint64 // walks that ended at [MaxThreads] threads
	FilesNotKept  uint64 // looks whose files were opened for that one look
}

// Process is a running CPython process. It must not be used by two goroutines at
// once.
type Process struct {
	pid   int
	proc  *procfs.FS
	cache *Cache
	dir   *procfs.ProcessDir // nil: closed

	version Version
	layout  layout.Layout
	runtime uint64 // address of _PyRuntime

	memory  memory.Memory
	reader  *memory.Reader
	states  []state
	beyond  bool // it has more of them
	threads map[int]*thread
	owners  map[uint64]int // thread states and their threads, for the holder of the lock
	codes   codes
	walker  walker
	stats   Stats
}

// Open returns the interpreter of a process, after checking its layout; the caller closes
// it. An [*Unsupported], [ErrNotReady] or [memory.ErrHung] says why it cannot be read;
// [procfs.Gone] or [procfs.Denied] may be true of another error. Looks at a later process
// with its pid are all [Torn].
func Open(r *procfs.FS, pid int, c *Cache) (*Process, error) {
	if runtime.GOARCH != "amd64" {
		return nil, &Unsupported{Reason: image.Architecture}
	}
	dir, _, err := procfs.OpenRunning(r, pid)
	if err != nil {
		return nil, err
	}
	p := newProcess(memory.NewWatched(pid, c.watch))
	p.pid, p.proc, p.cache, p.dir = pid, r, c, dir
	if c.kept.Load() >= c.limit {
		dir.Close()
	} else {
		c.kept.Add(1)
	}
	opened := false
	defer func() {
		if !opened { // or a read did not return, and [memory.Watchdog.Do] has given this up
			p.Close()
		}
	}()
	found, err := image.Find(r, pid, c.files)
	if err == nil {
		err = p.identify(found)
	}
	if err == nil {
		err = p.check(found)
	}
	if err != nil {
		return nil, err
	}
	opened = true
	return p, nil
}

// newProcess returns a process of which nothing is read yet.
func newProcess(m memory.Memory) *Process {
	p := &Process{memory: m, reader: memory.NewReader(m), threads: make(map[int]*thread), owners: make(map[uint64]int)}
	p.codes.known = make(map[uint64]*Code)
	return p
}

// Close closes all open files.
func (p *Process) Close() {
	for tid := range p.threads {
		p.forget(tid)
	}
	if p.dir == nil {
		return
	}
	if p.dir.Held() {
		p.cache.kept.Add(-1)
	}
	p.dir.Close()
	p.dir = nil
}

// Version returns the version of the interpreter.
func (p *Process) Version() Version { return p.version }

// Stats returns how much the bounds have left out so far.
func (p *Process) Stats() Stats { return p.stats }

// Memory returns the memory of the process, for other reads while [Process.LookThen]
// proves that the thread does not run.
func (p *Process) Memory() memory.Memory { return p.memory }

// Layout returns the layout of this interpreter.
func (p *Process) Layout() layout.Layout { return p.layout }

// Runtime returns the address of _PyRuntime.
func (p *Process) Runtime() uint64 { return p.runtime }

// identify sets the version of the interpreter and its layout. An [*Unsupported]: it is not 3.8
// to 3.14, the build is free-threaded, its table of offsets is not sound, or the memory cannot
// be read, unless the process is gone, denies it or hangs.
func (p *Process) identify(found image.Image) error {
	if found.FreeThreaded {
		return &Unsupported{Reason: image.FreeThreaded}
	}
	p.runtime = found.Base + found.Runtime
	p.version = Version{Major: 3, Minor: found.Minor, Micro: -1}
	if found.Version != 0 {
		v, err := p.reader.Uint32(found.Base + found.Version)
		if err != nil {
			return p.failed(err)
		}
		p.version = Version{Major: int(v >> 24), Minor: int(v >> 16 & 0xff), Micro: int(v >> 8 & 0xff)}
	}
	l, ok := layout.For(p.version.Minor, found.TraceRefs)
	if !ok || p.version.Major != 3 {
		return &Unsupported{Reason: image.OldOrNew}
	}
	p.layout = l
	if p.version.Minor < 13 {
		return nil
	}
	b := make([]byte, layout.DescribedSize)
	if err := p.reader.Bytes(p.runtime, b); err != nil {
		return p.failed(err)
	}
	_, err := p.layout.Describe(b)
	if errors.Is(err, layout.ErrFreeThreaded) {
		return &Unsupported{Reason: image.FreeThreaded}
	}
	if err != nil {
		return &Unsupported{Reason: image.Layout}
	}
	return nil
}

const (
	checkTries = 8
	checkPause = time.Millisecond
)

// check proves the layout: the type of code objects, if its address is known, is named
// "code", each thread state points to its interpreter, and a stack, if any thread has one,
// can be read, to its end if that address is not known. An [*Unsupported]: it is not so. A
// thread that runs may make one attempt fail, not all of them.
func (p *Process) check(found image.Image) error {
	typed := false
	if found.CodeType != 0 {
		var err error
		if typed, err = p.codes.learn(p, found.Base+found.CodeType); err != nil {
			return p.failed(err)
		}
		if !typed {
			return &Unsupported{Reason: image.Layout}
		}
	}
	var err error
	for range checkTries {
		if err = p.checkOnce(typed); err == nil || asItIs(err) {
			return err
		}
		time.Sleep(checkPause)
	}
	return err
}

// checkOnce reads all threads once. nil: the stack of one can be read, or none is in
// Python code. An [*Unsupported]: threads are in Python code, and the stack of none can be
// read. typed: a stack need not end to count as read.
func (p *Process) checkOnce(typed bool) error {
	if err := p.readStates(); err != nil {
		return err
	}
	found := false
	for i := range p.states {
		frames, err := p.walker.chain(p, &thread{}, p.states[i])
		if err != nil || len(frames) == 0 {
			found = found || err != nil
			continue
		}
		var s Stack
		if p.resolve(&s, frames) != nil {
			found = true
			continue
		}
		if typed || s.ended() {
			return nil
		}
		found = true
	}
	if found {
		return &Unsupported{Reason: image.Layout}
	}
	return nil // no thread is in Python code, as in an idle uWSGI
}
