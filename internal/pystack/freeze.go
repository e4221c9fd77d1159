package pystack

import (
	"bytes"
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// thread is a thread whose stack is read. Its files in /proc are kept open: they belong to
// this thread even if its number is used again.
type thread struct {
	tid            int
	syscall, sched int // descriptors
	first, second  proof
	place          place
	guess          guess
	last           last
}

// last is the stack of the last look that was proven, while the thread has not run
// since.
type last struct {
	proof   proof // nothing was proven while it is empty
	frames  []Frame
	state   uint64
	chopped bool // Stack.Truncated
}

// proof is what the kernel reports of a thread: the system call that it is in, and how long
// and how often it has run. Two equal ones, other than "running", prove that the thread did
// not run between them.
type proof struct {
	syscall, sched   [192]byte
	nsyscall, nsched int
}

// thread returns a thread by its id, as the exporter sees it, with its files open. If 512
// threads are known, all of them are forgotten first. [ended] reports whether the error
// means that the thread has ended.
func (p *Process) thread(tid int) (*thread, error) {
	if t := p.threads[tid]; t != nil {
		return t, nil
	}
	if len(p.threads) >= MaxThreads {
		for old := range p.threads {
			p.forget(old)
		}
	}
	p.prune()
	if p.dir == nil {
		return nil, fs.ErrClosed
	}
	name := "task/" + strconv.Itoa(tid)
	t := &thread{tid: tid}
	var err error
	if t.syscall, err = p.dir.Open(procfs.FileName(name + "/syscall")); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name + "/syscall", Err: err}
	}
	if t.sched, err = p.dir.Open(procfs.FileName(name + "/schedstat")); err != nil {
		_ = unix.Close(t.syscall)
		return nil, &fs.PathError{Op: "open", Path: name + "/schedstat", Err: err}
	}
	p.cache.kept.Add(2)
	p.threads[tid] = t
	return t, nil
}

// pruned is how many kept threads are tried for each new one.
const pruned = 4

// prune removes threads that have ended, among a few that are picked at random.
func (p *Process) prune() {
	tried := 0
	for old, t := range p.threads {
		if tried++; tried > pruned {
			return
		}
		if t.prove(&t.second) != nil {
			p.forget(old)
		}
	}
}

// forget closes the files of a thread and removes the thread from those that are known.
func (p *Process) forget(tid int) {
	t := p.threads[tid]
	if t == nil {
		return
	}
	delete(p.threads, tid)
	_ = unix.Close(t.syscall)
	_ = unix.Close(t.sched)
	t.syscall, t.sched = -1, -1 // whoever still has t proves nothing any more
	p.cache.kept.Add(-2)
}

// release closes the files of a thread after a look if too many files are kept open.
func (p *Process) release(tid int) {
	if p.cache.kept.Load() > p.cache.limit {
		p.forget(tid)
		p.stats.FilesNotKept++
	}
}

// prove sets into to the thread's proof at this moment: the system call and how long it
// ran. Two equal proofs, not [proof.running], mean that the thread did not run between
// them. [ended] reports whether the error means that it has ended.
func (t *thread) prove(into *proof) error {
	var err error
	if into.nsyscall, err = pread(t.syscall, into.syscall[:]); err != nil {
		return err
	}
	into.nsched, err = pread(t.sched, into.sched[:])
	return err
}

// pread reads the begin of a file into b, again after EINTR, and returns how many bytes it
// has read. An empty file is ESRCH: the thread has ended.
func pread(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Pread(fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = unix.ESRCH
		}
		return n, err
	}
}

// running reports whether the thread ran at the proof, or whether the kernel does not
// count how long threads run, so that nothing is proven.
func (f *proof) running() bool {
	return bytes.HasPrefix(f.syscall[:f.nsyscall], []byte("running")) || bytes.HasPrefix(f.sched[:f.nsched], []byte("0 "))
}

// equal reports whether two proofs are the same: if they are not [proof.running] either,
// the thread did not run between them.
func (f *proof) equal(o *proof) bool {
	return bytes.Equal(f.syscall[:f.nsyscall], o.syscall[:o.nsyscall]) && bytes.Equal(f.sched[:f.nsched], o.sched[:o.nsched])
}

// call returns the number of the system call in a proof; −1 if the thread was in none, or
// ran.
func (f *proof) call() int {
	n, digits := 0, 0
	for _, c := range f.syscall[:f.nsyscall] {
		if c < '0' || c > '9' || digits == 4 {
			break
		}
		n, digits = n*10+int(c-'0'), digits+1
	}
	if digits == 0 {
		return -1
	}
	return n
}

// ended reports whether an error means that the thread has ended.
func ended(err error) bool { return procfs.Gone(err) }
