package proc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// rssCeiling is the resident size above which a process' shared memory is
	// not told apart: the kernel walks every page for it and holds up the
	// process' own page faults meanwhile (7 ms for 0.5 GB, seconds for 200 GB).
	rssCeiling = 4 << 30
	// memoryShare is the part of one core that sampling may use: after a
	// reading that took t, nothing is read for 100 t.
	memoryShare = 100
)

// ErrTooLarge is why a process has no PSS: to read it would hold it up.
var ErrTooLarge = errors.New("it is too large to tell its shared pages apart without holding it up")

type memoryKey struct {
	pid   int
	start uint64
}

type memorySample struct {
	mem   Memory
	taken time.Time
	err   error
	tried time.Time
	rss   uint64
}

// memorySampler reads /proc/PID/smaps_rollup of the apps' processes, one at a
// time, in the background: it costs from 0.3 ms to seconds a process.
type memorySampler struct {
	r    *reader
	news chan struct{} // a process is there that was never sampled

	mu       sync.Mutex
	interval time.Duration
	samples  map[memoryKey]*memorySample
}

func newMemorySampler(root string, interval time.Duration) *memorySampler {
	return &memorySampler{r: newReader(root), news: make(chan struct{}, 1), interval: max(interval, time.Second), samples: make(map[memoryKey]*memorySample)}
}

func (m *memorySampler) setInterval(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interval = max(d, time.Second)
}

// of gives the last sample of a process; the zero time if there is none yet.
func (m *memorySampler) of(pid int, start uint64) (Memory, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.samples[memoryKey{pid, start}]
	if s == nil {
		return Memory{}, time.Time{}, nil
	}
	return s.mem, s.taken, s.err
}

// want tells the sampler which processes there are; the others are forgotten.
func (m *memorySampler) want(procs map[memoryKey]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.samples {
		if _, ok := procs[k]; !ok {
			delete(m.samples, k)
		}
	}
	for k, rss := range procs {
		if m.samples[k] == nil {
			m.samples[k] = &memorySample{}
			select {
			case m.news <- struct{}{}:
			default:
			}
		}
		m.samples[k].rss = rss
	}
}

// run samples until ctx ends, and sleeps while nothing is due. A new process
// has its turn at once.
func (m *memorySampler) run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		news := m.news
		k, rss, due := m.next()
		if due == 0 {
			began := time.Now()
			m.sample(k, rss)
			due, news = memoryShare*time.Since(began), nil // the pause holds for new ones too
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

// next picks the process whose sample is oldest, if one is due; else it tells
// in how long the next one is.
func (m *memorySampler) next() (k memoryKey, rss uint64, due time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best memoryKey
	var bestSample *memorySample
	now := time.Now()
	for k, s := range m.samples {
		if bestSample == nil || s.tried.Before(bestSample.tried) {
			best, bestSample = k, s
		}
	}
	if bestSample == nil {
		return memoryKey{}, 0, m.interval
	}
	if wait := m.interval - now.Sub(bestSample.tried); wait > 0 {
		return memoryKey{}, 0, wait
	}
	bestSample.tried = now
	return best, bestSample.rss, 0
}

func (m *memorySampler) sample(k memoryKey, rss uint64) {
	var mem Memory
	var err error
	if rss > rssCeiling {
		err = fmt.Errorf("process %d holds %d MiB: %w", k.pid, rss>>20, ErrTooLarge)
	} else {
		var b []byte
		if b, err = m.r.pid(k.pid, "smaps_rollup"); err == nil {
			mem, err = parseSmaps(b)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.samples[k]
	if s == nil || gone(err) {
		return
	}
	s.err = err
	if err == nil {
		s.mem, s.taken = mem, time.Now()
	}
}
