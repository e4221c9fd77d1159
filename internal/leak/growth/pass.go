package growth

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/leak/watch"
	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/retry"
)

const (
	// A pass is tried until the process has stood still for long enough: so often, with
	// longer and longer pauses, and with so much CPU time, that of all its tries.
	maxTries = 400
	maxCPU   = 5 * time.Second
	minPause = 10 * time.Millisecond
	maxPause = 3 * time.Second
	// After a try that was in vain nothing is read for so many times as long as it took.
	idleShare = 8
)

var (
	errHung  = errors.New("a read of the process's memory did not return, or too many of the user's have not")
	errAwake = census.ErrAwake
)

// study is the censuses of one worker.
type study struct {
	w       *Watcher
	suspect watch.Suspect
	account procfs.Account
	files   *procfs.FS
	process *pystack.Process
	target  census.Target
	still   pystack.Still
	cpu     time.Duration
	began   time.Duration // CPU time of the thread when the try under way began
	left    time.Duration // that the try may use
}

// pass calls f again and again until the process stood still all the while, and returns its
// error. errAwake: the process did not stand still in time, or the CPU time is used up;
// errHung: a read did not return; errUnwanted: the worker is not suspected any more, or
// censuses are off. If the process has ended the error says so, see study.same.
func (s *study) pass(ctx context.Context, c *census.Census, f func() error) error {
	pause, began, before := minPause, time.Now(), s.cpu
	for range maxTries {
		start := s.cpu
		again, err := s.try(c, f, before)
		if !again {
			return err
		}
		if time.Since(began) > s.w.o.Patience {
			return errAwake
		}
		if !retry.Sleep(ctx, max(pause/2+rand.N(pause), idleShare*(s.cpu-start))) {
			return ctx.Err()
		}
		if err := s.same(); err != nil {
			return err
		}
		pause = min(pause*9/8, maxPause)
	}
	return errAwake
}

// try calls f once, as part of a pass that began at the CPU time before. again: it was in
// vain, and the pass has CPU time for another try; else err is the result of the pass.
func (s *study) try(c *census.Census, f func() error, before time.Duration) (again bool, err error) {
	if !s.w.wanted(s.suspect) {
		return false, errUnwanted
	}
	inVain := s.cpu - before
	s.left = s.w.maxCPU - inVain
	if err = s.do(func() error { return s.once(c, f) }); errors.Is(err, errHung) {
		return false, err
	}
	s.still.End()
	used := s.cpu-before > s.w.maxCPU
	switch {
	case used && errors.Is(err, census.ErrTooMuch) && inVain > s.left: // most of it
		return false, errAwake
	case !errors.Is(err, errAwake) && !errors.Is(err, census.ErrCollecting):
		return false, s.whyNot(err)
	case used:
		return false, errAwake
	}
	return true, nil
}

// once calls f if no thread of the process runs now; else it returns errAwake, also if that
// is not known, or EPERM if it may not look. The caller checks whether it stood still until
// the end.
func (s *study) once(c *census.Census, f func() error) error {
	s.began = procfs.ThreadTime()
	switch s.still.Stand(s.process) {
	case pystack.OK:
	case pystack.Permission:
		return unix.EPERM
	default:
		return errAwake
	}
	interp, err := s.process.MainInterpreter()
	if err != nil {
		return err
	}
	c.Move(interp)
	return f()
}

// spent reports whether the current try has used all its CPU time.
func (s *study) spent() bool { return procfs.ThreadTime()-s.began > s.left }

// do calls f under the Watchdog, charges its CPU time to the study, and returns its
// error, also for a panic. [errHung]: a read did not return; f has no deferred calls that
// touch the study, so all that it used may be closed.
func (s *study) do(f func() error) error {
	var out struct { // which a function that is given up leaves as it is
		err error
		cpu time.Duration
	}
	w, account := s.w, s.account
	if !w.dog.Do(func() {
		returned := false
		defer func() {
			if !returned { // now the read has
				w.hang(account, -1)
			}
		}()
		runtime.LockOSThread() // the CPU time is that of the thread
		defer runtime.UnlockOSThread()
		began := procfs.ThreadTime()
		out.err = caught(f)
		out.cpu = procfs.ThreadTime() - began
		returned = true
	}) {
		w.hang(account, 1)
		return errHung
	}
	s.cpu += out.cpu
	return out.err
}

// caught returns the error of f, or its panic as an error.
func caught(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = logs.Recovered(r)
		}
	}()
	return f()
}

// whyNot returns the error of a pass or, if the process has ended by now or that cannot be
// read, the error that says so; nil for nil. It counts a census that was too large.
func (s *study) whyNot(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, census.ErrTooMuch) {
		s.w.drop(1)
	}
	if again := s.same(); again != nil {
		return again
	}
	return err
}

// same returns nil if the pid still is the suspected process; else an error that
// [procfs.Gone] reports, or that of the read.
func (s *study) same() error {
	b, err := s.files.Read(s.suspect.PID, "stat")
	if err != nil {
		return err
	}
	stat, err := procfs.ParseStat(b)
	if err == nil && stat.Start != s.suspect.Ticks {
		err = unix.ESRCH
	}
	return err
}

// close closes the process if it is open.
func (s *study) close() {
	if s.process != nil {
		s.process.Close()
	}
}
