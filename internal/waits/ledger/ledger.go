package ledger

import "time"

// settle is the part of a ledger's balance that a sample settles. A larger one is
// biased to what a thread does right after it ran.
const settle = 0.02

// Ledger divides the time of one thread. The time on a processor and the time
// ready for one are the differences of the kernel's totals, which are exact; they
// are never sampled. What is left is the time that the thread waited, and the
// samples that found it waiting say for what: each stands for the time since the
// sample before. Samples that found it running say nothing of the waits, so the
// time that they stand for and the time that was waited differ for a moment; the
// balance goes into the samples that follow.
//
// The kernel adds the time in the queue when the thread is put on a processor, so
// the balance also corrects what was taken for a wait before that.
type Ledger struct {
	began      bool
	run, delay time.Duration // totals at the last sample
	balance    float64       // seconds waited less seconds given
}

// Spent is what one sample adds, in seconds.
type Spent struct{ Run, Delay, Wait float64 }

// Sample returns the seconds that were spent in the time dt since the sample before:
// running, runnable without a CPU, and waiting. run and delay are the thread's totals
// (/proc/PID/task/TID/schedstat). waits: the thread was found waiting; without it Wait is
// 0, with it dt corrected by a part of the balance. The first sample returns 0.
func (l *Ledger) Sample(dt, run, delay time.Duration, waits bool) Spent {
	if !l.began {
		l.began, l.run, l.delay = true, run, delay
		return Spent{}
	}
	s := Spent{Run: max(0, (run - l.run).Seconds()), Delay: max(0, (delay - l.delay).Seconds())}
	l.run, l.delay = run, delay
	l.balance += dt.Seconds() - s.Run - s.Delay
	if waits {
		s.Wait = max(0, dt.Seconds()+settle*(l.balance-dt.Seconds()))
		l.balance -= s.Wait
	}
	return s
}
