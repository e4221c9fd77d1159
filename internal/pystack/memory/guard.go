package memory

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readLimit is how long one read may take. It is far above what a busy machine
	// needs: a read that hangs waits for a page that a program has to deliver.
	readLimit = 2 * time.Second
	// maxHung is how many reads may hang at a time before no more are begun.
	maxHung = 8
	// idleFor is after what time without a read the goroutine that reads ends.
	idleFor = 10 * time.Second
)

// ErrHung is a read that did not return in time, or was not begun because too many
// have not.
var ErrHung = errors.New("memory: the read did not return in time")

// Guard reads the memory of processes with a deadline. The kernel waits for as long
// as it takes until a page is there, and of a file system in user space (FUSE) or of
// userfaultfd(2) the owner of the process decides when that is. Reads take place in
// a goroutine of their own; one that hangs is left behind, and ends when the kernel
// returns. The zero value is ready. Its methods are safe for concurrent use, one
// read at a time.
type Guard struct {
	mu       sync.Mutex
	requests chan request
	done     chan result
	timer    *time.Timer
	buf      []byte
	remote   []unix.RemoteIovec
	limit    time.Duration // 0: readLimit
	hung     atomic.Int64  // reads that have not returned
	refused  atomic.Uint64
}

// request is one read. What it points at belongs to the reader until done has its
// result.
type request struct {
	pid    int
	into   []byte
	remote []unix.RemoteIovec
	done   chan<- result
}

type result struct {
	n   int
	err error
}

// Refused returns how many reads have ended with [ErrHung].
func (g *Guard) Refused() uint64 { return g.refused.Load() }

// Hung returns how many reads have not returned yet that were left behind.
func (g *Guard) Hung() int { return int(g.hung.Load()) }

// Read fills each part of the memory of a process, as [Process.Read] does. It allocates
// nothing once its buffers are large enough.
func (g *Guard) Read(pid int, parts ...Part) error {
	total, err := check(parts)
	if err != nil || total == 0 {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hung.Load() >= maxHung {
		g.refused.Add(1)
		return ErrHung
	}
	g.prepare(total)
	for i := range parts {
		if n := len(parts[i].Into); n > 0 {
			g.remote = append(g.remote, unix.RemoteIovec{Base: uintptr(parts[i].Addr), Len: n})
		}
	}
	r, ok := g.send(request{pid, g.buf[:total], g.remote, g.done})
	switch {
	case !ok:
		g.refused.Add(1)
		return ErrHung
	case r.err != nil:
		return r.err
	case r.n != total:
		return ErrShort
	}
	from := g.buf
	for i := range parts {
		from = from[copy(parts[i].Into, from):]
	}
	return nil
}

// prepare makes buffers for a read of so many bytes.
func (g *Guard) prepare(total int) {
	if g.requests == nil {
		g.requests = make(chan request)
		g.timer = time.NewTimer(time.Hour)
	}
	if g.done == nil {
		g.done = make(chan result, 1)
	}
	if cap(g.buf) < total {
		g.buf = make([]byte, total)
	}
	g.buf = g.buf[:cap(g.buf)]
	if g.remote == nil {
		g.remote = make([]unix.RemoteIovec, 0, MaxParts)
	}
	g.remote = g.remote[:0]
}

// send has a request read and returns the result; false if that takes too long.
func (g *Guard) send(q request) (result, bool) {
	select {
	case g.requests <- q:
	default: // no reader waits for one
		go g.serve(q)
	}
	limit := g.limit
	if limit == 0 {
		limit = readLimit
	}
	g.timer.Reset(limit)
	select {
	case r := <-g.done:
		g.timer.Stop()
		return r, true
	case <-g.timer.C:
	}
	// The one who reads keeps what it has; the next read gets all of it new.
	g.hung.Add(1)
	done := g.done
	go func() {
		<-done
		g.hung.Add(-1)
	}()
	g.done, g.buf, g.remote = nil, nil, nil
	return result{}, false
}

// serve reads, and then waits a while for more to read.
func (g *Guard) serve(q request) {
	idle := time.NewTimer(idleFor)
	defer idle.Stop()
	for {
		q.done <- read(q)
		idle.Reset(idleFor)
		select {
		case q = <-g.requests:
		case <-idle.C:
			return
		}
	}
}

// read reads (process_vm_readv(2)).
func read(q request) result {
	var local [1]unix.Iovec
	local[0].Base = &q.into[0]
	local[0].SetLen(len(q.into))
	n, err := unix.ProcessVMReadv(q.pid, local[:], q.remote, 0)
	return result{n, err}
}
