package waits

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/calls"
)

// threadHistory is what is kept of one thread from sample to sample.
type threadHistory struct {
	slices  uint64       // how often it was put on a CPU
	since   time.Time    // of the first sample of that number
	at      time.Time    // of the last sample
	samples [2]cpuSample // a second apart or more, the older first
}

// cpuSample is how long a thread had run, or been ready to run, at one time.
type cpuSample struct {
	at   time.Time
	busy time.Duration
}

// cpuSampleInterval is the shortest time between two cpuSamples.
const cpuSampleInterval = time.Second

// share returns the part of the time since the older cpuSample in which the thread ran or
// was ready to run, from 0 to about 1, not cut; 0 before there are two. busy is its total
// of that time.
func (k *threadHistory) share(now time.Time, busy time.Duration) (share float64) {
	if k.samples[1].at.IsZero() || now.Sub(k.samples[1].at) >= cpuSampleInterval {
		k.samples[0], k.samples[1] = k.samples[1], cpuSample{now, busy}
	}
	if old := k.samples[0]; !old.at.IsZero() {
		share = max(0, (busy-old.busy).Seconds()/now.Sub(old.at).Seconds())
	}
	return share
}

// thread is one thread of a worker in one sample.
type thread struct {
	tid     int
	call    procfs.Syscall
	since   time.Time // it has been in this call since that sample, at least
	share   float64   // of the time lately that it has run or been ready to run
	accepts bool      // it waits for a connection
	parked  bool      // it has been in this call since before the worker was last idle
}

// loadsFiles reports whether the thread does as an import does: runs, waits in the kernel
// outside of a call, opens, reads (also from a socket) or maps.
func (k *thread) loadsFiles() bool {
	return k.call.NR == -1 || slices.Contains([]int{unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_OPENAT, unix.SYS_GETDENTS64, unix.SYS_MMAP}, k.call.NR)
}

// threadReader reads what threads do, and what their system calls are for.
type threadReader struct {
	table  *table.Table
	now    calls.Reader
	calls  *procfs.SyscallReader
	others []thread // of the worker that is being sampled
}

// read returns a sample of the threads of one worker; of a sync worker of gunicorn only
// the main one. An error: that cannot be read, [procfs.Gone] reports whether it has
// ended.
func (c *threadReader) read(p *table.Process, s *tracker, server cmdline.Server, listening []int, now time.Time) (sample, error) {
	l := sample{server: server}
	var err error
	if l.main, err = c.thread(p, s, p.PID, now); err != nil {
		return sample{}, err
	}
	l.readable = true
	l.main.accepts = c.calls.WaitsForConnection(p.PID, l.main.call, listening)
	if l.main.accepts && server == cmdline.Gunicorn && (l.main.call.NR == procfs.SysSelect || l.main.call.NR == unix.SYS_PSELECT6) {
		s.sync = true // the other workers of gunicorn poll
	}
	if p.Stat.Threads > 1 && !s.sync {
		c.readOthers(p, s, now)
		l.others = c.others
	}
	c.classifyThreads(p, s, &l, listening, now)
	return l, nil
}

// reclassify sets again which threads wait for a connection and which are parked: the
// descriptors of the listeners have changed.
func (c *threadReader) reclassify(p *table.Process, s *tracker, l *sample, listening []int, now time.Time) {
	l.main.accepts = c.calls.WaitsForConnection(p.PID, l.main.call, listening)
	c.classifyThreads(p, s, l, listening, now)
}

// classifyThreads sets which other threads wait for a connection, which threads are
// parked, and how many are busy and for how long. l.main.accepts must be set.
func (c *threadReader) classifyThreads(p *table.Process, s *tracker, l *sample, listening []int, now time.Time) {
	l.busyThreads, l.longestCall = 0, 0
	classify := func(k *thread) {
		k.parked = !k.accepts && !k.call.Running && !s.idleAt.IsZero() && !k.since.After(s.idleAt)
		if !k.accepts && !k.parked {
			l.busyThreads++
			l.longestCall = max(l.longestCall, now.Sub(k.since))
		}
	}
	classify(&l.main)
	for i := range l.others {
		l.others[i].accepts = c.calls.WaitsForConnection(p.PID, l.others[i].call, listening)
		classify(&l.others[i])
	}
}

// thread returns what one thread does now and since when, and updates its history in s. The
// time is now if it runs, has run since the sample before or was not seen before. An error:
// what it does cannot be read.
func (c *threadReader) thread(p *table.Process, s *tracker, tid int, now time.Time) (thread, error) {
	x, err := c.now.Now(p.PID, p.Start, tid)
	if err != nil {
		return thread{}, err
	}
	k := thread{tid: tid, call: x.Call}
	before, seen := s.threads[tid]
	k.since = before.since
	if !seen || k.call.Running || before.slices != x.Times.Slices {
		k.since = now
	}
	if s.threads == nil {
		s.threads = make(map[int]threadHistory)
	}
	k.share = before.share(now, x.Times.Run+x.Times.Delay)
	s.threads[tid] = threadHistory{slices: x.Times.Slices, since: k.since, at: now, samples: before.samples}
	return k, nil
}

// readOthers sets c.others to the threads other than the main one, at most
// table.MaxThreads, and forgets those that have ended. It skips threads that cannot be
// read.
func (c *threadReader) readOthers(p *table.Process, s *tracker, now time.Time) {
	c.others = c.others[:0]
	list, err := c.table.FS.FirstEntries(c.table.FS.Path(p.PID, "task"), nil, table.MaxThreads)
	if err != nil {
		return
	}
	for _, e := range list[:min(len(list), table.MaxThreads)] {
		if e.N == p.PID {
			continue
		}
		if k, err := c.thread(p, s, e.N, now); err == nil {
			c.others = append(c.others, k)
		}
	}
	for tid, t := range s.threads {
		if t.at != now {
			delete(s.threads, tid)
		}
	}
}
