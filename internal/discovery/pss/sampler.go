// Package pss samples the proportional set size of processes in the background,
// at a bounded cost.
package pss

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// maxRSS is the resident size above which the shared memory of a process is
	// not read: the kernel walks every page for it and delays the process' own
	// page faults meanwhile (7 ms for 0.5 GB, seconds for 200 GB).
	maxRSS = 4 << 30
	// cpuShare is the divisor of the part of one core that sampling may use: a
	// reading of cost t, see [procfs.CPUCost], is followed by a pause of 100 t.
	cpuShare = 100
	// unchangedTimes is by what the interval is multiplied while no process of an account
	// changes its resident size: what they share stays the same but for pages that one
	// writes to, which are its own from then on. Those are seen so much later.
	unchangedTimes = 4
)

// ErrTooLarge means that a process has no PSS, as reading it would delay the
// process.
var ErrTooLarge = errors.New("the process is too large: reading its shared pages would delay it")

// Key identifies a process: pids are reused, a pid with a start time is not.
type Key struct {
	PID   int
	Start uint64
}

type sample struct {
	mem   procfs.Memory
	taken time.Time
	err   error
	tried time.Time
	rss   uint64
	read  uint64 // rss when it was last tried
	owner procfs.Account
}

// Process is a process whose memory is sampled.
type Process struct {
	RSS   uint64 // bytes
	Owner procfs.Account
}

// Sampler reads /proc/PID/smaps_rollup of the apps' processes, one at a time, in
// the background: one reading takes from 0.3 ms to seconds.
type Sampler struct {
	fs   *procfs.FS
	wake chan struct{} // a process was added that was never sampled

	mu       sync.Mutex
	interval time.Duration
	samples  map[Key]*sample
	used     map[procfs.Account]time.Duration // time spent on each account's processes
	changed  map[procfs.Account]bool          // by account: a process has another size than when it was last tried, or is new, or has ended
}

// NewSampler returns a Sampler over the directory where /proc is mounted. It
// reads each process once an interval, at least a second, while [Sampler.Run]
// runs; four times less often while no process of its account changes its size.
func NewSampler(root string, interval time.Duration) *Sampler {
	return &Sampler{fs: procfs.New(root), wake: make(chan struct{}, 1), interval: max(interval, time.Second), samples: make(map[Key]*sample), used: make(map[procfs.Account]time.Duration), changed: make(map[procfs.Account]bool)}
}

// SetInterval sets the time between two samples of a process; less than a second becomes
// a second.
func (m *Sampler) SetInterval(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interval = max(d, time.Second)
}

// Of returns the last sample of a process and when it was taken; the zero time if there
// is none yet. The error says why the last reading failed: the sample is then an older
// one.
func (m *Sampler) Of(pid int, start uint64) (procfs.Memory, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.samples[Key{pid, start}]
	if s == nil {
		return procfs.Memory{}, time.Time{}, nil
	}
	return s.mem, s.taken, s.err
}

// SetProcesses sets which processes are sampled. The samples of all others are removed.
func (m *Sampler) SetProcesses(procs map[Key]Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.changed)
	for k, s := range m.samples {
		if _, ok := procs[k]; !ok {
			m.changed[s.owner] = true
			delete(m.samples, k)
		}
	}
	present := make(map[procfs.Account]bool)
	for k, p := range procs {
		present[p.Owner] = true
		if m.samples[k] == nil {
			m.samples[k] = &sample{}
			select {
			case m.wake <- struct{}{}:
			default:
			}
		}
		s := m.samples[k]
		s.rss, s.owner = p.RSS, p.Owner
		m.changed[p.Owner] = m.changed[p.Owner] || s.tried.IsZero() || s.rss != s.read
	}
	for _, s := range m.samples {
		if m.changed[s.owner] {
			s.read = math.MaxUint64 // all are read again
		}
	}
	m.keepAccounts(present)
}

// keepAccounts removes the accounts without a process. A new account starts at the
// sampling time of the one that has had the least, so that it neither owes nor is owed
// anything.
func (m *Sampler) keepAccounts(present map[procfs.Account]bool) {
	for a := range m.used {
		if !present[a] {
			delete(m.used, a)
		}
	}
	least := time.Duration(-1)
	for _, d := range m.used {
		if least < 0 || d < least {
			least = d
		}
	}
	for a := range present {
		if _, ok := m.used[a]; !ok {
			m.used[a] = max(least, 0)
		}
	}
}

// Run samples until ctx ends, then returns nil. It samples a new process at once, within
// the share of the CPU.
func (m *Sampler) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		news := m.wake
		k, rss, due := m.next()
		if due == 0 {
			cost := procfs.CPUCost(func() { m.sample(k, rss) })
			m.charge(k, cost)
			due, news = cpuShare*cost, nil // the pause holds for new ones too
		}
		t.Reset(due)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-news:
		}
	}
}

// charge adds the time that a sample took to the account of the process.
func (m *Sampler) charge(k Key, cost time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.samples[k]; s != nil {
		m.used[s.owner] += cost
	}
}

// next returns the process to sample next, which counts as tried, and its last known
// resident size: among the due ones, of the account with the least sampling time, the one
// tried longest ago, so that users do not delay each other. due is 0; if none is due, the
// key is zero and due is the time until one is, at most the interval.
func (m *Sampler) next() (k Key, rss uint64, due time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best Key
	var bestSample *sample
	now := time.Now()
	due = m.interval
	for k, s := range m.samples {
		interval := m.interval
		if !m.changed[s.owner] {
			interval *= unchangedTimes
		}
		if wait := interval - now.Sub(s.tried); wait > 0 {
			due = min(due, wait)
			continue
		}
		if bestSample == nil || cmp.Or(cmp.Compare(m.used[s.owner], m.used[bestSample.owner]), s.tried.Compare(bestSample.tried)) < 0 {
			best, bestSample = k, s
		}
	}
	if bestSample == nil {
		return Key{}, 0, due
	}
	bestSample.tried, bestSample.read = now, bestSample.rss
	return best, bestSample.rss, 0
}

// sample reads the memory of one process and stores it, or why it could not be read.
// ErrTooLarge: the process is so large that reading would cost too much.
func (m *Sampler) sample(k Key, rss uint64) {
	var mem procfs.Memory
	var err error
	if rss > maxRSS {
		err = fmt.Errorf("process %d uses %d MiB: %w", k.PID, rss>>20, ErrTooLarge)
	} else {
		var b []byte
		if b, err = m.fs.Read(k.PID, "smaps_rollup"); err == nil {
			mem, err = procfs.ParseSmaps(b)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.samples[k]
	if s == nil || procfs.Gone(err) {
		return
	}
	s.err = err
	if err == nil {
		s.mem, s.taken = mem, time.Now()
	}
}
