package pss

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

const (
	// rssCeiling is the resident size above which a process' shared memory is
	// not told apart: the kernel walks every page for it and holds up the
	// process' own page faults meanwhile (7 ms for 0.5 GB, seconds for 200 GB).
	rssCeiling = 4 << 30
	// memoryShare is the part of one core that sampling may use: after a
	// reading that cost t, see [costOf], nothing is read for 100 t.
	memoryShare = 100
)

// ErrTooLarge is why a process has no PSS: to read it would hold it up.
var ErrTooLarge = errors.New("it is too large to tell its shared pages apart without holding it up")

type Key struct {
	PID   int
	Start uint64
}

type memorySample struct {
	mem   procfs.Memory
	taken time.Time
	err   error
	tried time.Time
	rss   uint64
	owner procfs.Account
}

// Process is a process whose memory is to be sampled.
type Process struct {
	RSS   uint64 // bytes
	Owner procfs.Account
}

// Sampler reads /proc/PID/smaps_rollup of the apps' processes, one at a
// time, in the background: it costs from 0.3 ms to seconds a process.
type Sampler struct {
	r    *procfs.FS
	news chan struct{} // a process is there that was never sampled

	mu       sync.Mutex
	interval time.Duration
	samples  map[Key]*memorySample
	used     map[procfs.Account]time.Duration // time spent on each account's processes
}

func NewSampler(root string, interval time.Duration) *Sampler {
	return &Sampler{r: procfs.New(root), news: make(chan struct{}, 1), interval: max(interval, time.Second), samples: make(map[Key]*memorySample), used: make(map[procfs.Account]time.Duration)}
}

func (m *Sampler) SetInterval(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interval = max(d, time.Second)
}

// Of returns the last sample of a process; the zero time if there is none yet.
func (m *Sampler) Of(pid int, start uint64) (procfs.Memory, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.samples[Key{pid, start}]
	if s == nil {
		return procfs.Memory{}, time.Time{}, nil
	}
	return s.mem, s.taken, s.err
}

// SetProcesses sets which processes there are; the others are forgotten.
func (m *Sampler) SetProcesses(procs map[Key]Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.samples {
		if _, ok := procs[k]; !ok {
			delete(m.samples, k)
		}
	}
	present := make(map[procfs.Account]bool)
	for k, p := range procs {
		present[p.Owner] = true
		if m.samples[k] == nil {
			m.samples[k] = &memorySample{}
			select {
			case m.news <- struct{}{}:
			default:
			}
		}
		m.samples[k].rss, m.samples[k].owner = p.RSS, p.Owner
	}
	m.keepAccounts(present)
}

// keepAccounts forgets the accounts that are gone, and starts a new one where
// the one that had least stands, so that it owes nothing and is owed nothing.
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

// Run samples until ctx ends, and sleeps while nothing is due. A new process
// has its turn at once.
func (m *Sampler) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		news := m.news
		k, rss, due := m.next()
		if due == 0 {
			cost := procfs.CPUCost(func() { m.sample(k, rss) })
			m.charge(k, cost)
			due, news = memoryShare*cost, nil // the pause holds for new ones too
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

// charge notes what a sample cost.
func (m *Sampler) charge(k Key, cost time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.samples[k]; s != nil {
		m.used[s.owner] += cost
	}
}

// next picks, of the processes that are due, one of the account that has had the
// least time, and of these the one whose sample is oldest: the processes of one
// user do not delay those of another. If none is due it returns in how long one is.
func (m *Sampler) next() (k Key, rss uint64, due time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best Key
	var bestSample *memorySample
	now := time.Now()
	due = m.interval
	for k, s := range m.samples {
		if wait := m.interval - now.Sub(s.tried); wait > 0 {
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
	bestSample.tried = now
	return best, bestSample.rss, 0
}

func (m *Sampler) sample(k Key, rss uint64) {
	var mem procfs.Memory
	var err error
	if rss > rssCeiling {
		err = fmt.Errorf("process %d holds %d MiB: %w", k.PID, rss>>20, ErrTooLarge)
	} else {
		var b []byte
		if b, err = m.r.Read(k.PID, "smaps_rollup"); err == nil {
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
