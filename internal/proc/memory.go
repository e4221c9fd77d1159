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
	r *reader

	mu       sync.Mutex
	interval time.Duration
	samples  map[memoryKey]*memorySample
}

func newMemorySampler(root string, interval time.Duration) *memorySampler {
	return &memorySampler{r: newReader(root), interval: max(interval, time.Second), samples: make(map[memoryKey]*memorySample)}
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
		}
		m.samples[k].rss = rss
	}
}

// run samples until ctx ends. A new process has its turn at once.
func (m *memorySampler) run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		pause := 500 * time.Millisecond
		if k, rss, ok := m.next(); ok {
			began := time.Now()
			m.sample(k, rss)
			pause = memoryShare * time.Since(began)
		}
		t.Reset(pause)
	}
}

// next picks the process whose sample is oldest and due.
func (m *memorySampler) next() (memoryKey, uint64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var best memoryKey
	var bestSample *memorySample
	now := time.Now()
	for k, s := range m.samples {
		if now.Sub(s.tried) >= m.interval && (bestSample == nil || s.tried.Before(bestSample.tried)) {
			best, bestSample = k, s
		}
	}
	if bestSample == nil {
		return memoryKey{}, 0, false
	}
	bestSample.tried = now
	return best, bestSample.rss, true
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
