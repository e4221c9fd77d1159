package pss_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/pss"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// write sets the proportional set size of a process, in KiB.
func write(t *testing.T, root string, pid, kib int) {
	t.Helper()
	dir := filepath.Join(root, strconv.Itoa(pid))
	text := "00400000-7ffd [rollup]\nRss: " + strconv.Itoa(2*kib) + " kB\nPss: " + strconv.Itoa(kib) + " kB\nPrivate_Dirty: 4 kB\nSwap: 0 kB\n"
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "smaps_rollup"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// run runs a sampler in a bubble until the test ends. Time passes only while it
// waits, so each reading of a file costs nothing but the CPU.
func run(t *testing.T, s *pss.Sampler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pssOf returns the PSS of a process in KiB; -1: none yet.
func pssOf(s *pss.Sampler, pid int) int {
	m, at, _ := s.Of(pid, 1)
	if at.IsZero() {
		return -1
	}
	return int(m.PSS >> 10)
}

// A process is sampled at once, and again after the interval; one that no longer belongs
// to an app is removed.
func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		write(t, root, 10, 100)
		write(t, root, 11, 200)
		s := pss.NewSampler(root, time.Minute)
		s.SetProcesses(map[pss.Key]pss.Process{{PID: 10, Start: 1}: {}})
		if got := pssOf(s, 10); got != -1 {
			t.Errorf("%d KiB before it was read", got)
		}
		run(t, s)
		time.Sleep(time.Second)
		if got := pssOf(s, 10); got != 100 {
			t.Errorf("%d KiB at the start", got)
		}
		if _, at, err := s.Of(10, 2); !at.IsZero() || err != nil {
			t.Errorf("a process of another start: %v, %v", at, err)
		}
		write(t, root, 10, 150)
		s.SetProcesses(map[pss.Key]pss.Process{{PID: 10, Start: 1}: {RSS: 4096}, {PID: 11, Start: 1}: {Owner: 33}})
		time.Sleep(30 * time.Second)
		if a, b := pssOf(s, 10), pssOf(s, 11); a != 100 || b != 200 {
			t.Errorf("within the interval: %d and %d KiB, want 100 and 200", a, b)
		}
		time.Sleep(time.Minute)
		if got := pssOf(s, 10); got != 150 {
			t.Errorf("%d KiB after the interval", got)
		}
		write(t, root, 10, 160)
		s.SetProcesses(map[pss.Key]pss.Process{{PID: 10, Start: 1}: {RSS: 4096}, {PID: 11, Start: 1}: {Owner: 33}})
		time.Sleep(2 * time.Minute)
		if got := pssOf(s, 10); got != 150 {
			t.Errorf("%d KiB of a process whose size is the same, after two intervals", got)
		}
		time.Sleep(2 * time.Minute)
		if got := pssOf(s, 10); got != 160 {
			t.Errorf("%d KiB after four intervals", got)
		}
		s.SetProcesses(map[pss.Key]pss.Process{{PID: 11, Start: 1}: {Owner: 33}})
		if a, b := pssOf(s, 10), pssOf(s, 11); a != -1 || b != 200 {
			t.Errorf("%d KiB of a process of no app, %d of another", a, b)
		}
	})
}

// The interval is at least a second, at the start and later.
func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		write(t, root, 10, 100)
		s := pss.NewSampler(root, 0)
		s.SetProcesses(map[pss.Key]pss.Process{{PID: 10, Start: 1}: {}})
		run(t, s)
		time.Sleep(500 * time.Millisecond)
		write(t, root, 10, 150)
		time.Sleep(400 * time.Millisecond)
		if got := pssOf(s, 10); got != 100 {
			t.Errorf("%d KiB: read again within a second", got)
		}
		time.Sleep(time.Second)
		if got := pssOf(s, 10); got != 150 {
			t.Errorf("%d KiB after a second", got)
		}
		s.SetInterval(time.Hour)
		time.Sleep(2 * time.Second) // until the sampler waits by the new interval
		write(t, root, 10, 175)
		time.Sleep(30 * time.Minute)
		if got := pssOf(s, 10); got != 150 {
			t.Errorf("%d KiB within the new interval", got)
		}
	})
}

// If a process cannot be read, the last sample stays and the error is reported.
func TestSamplerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		write(t, root, 10, 100)
		write(t, root, 11, 100)
		write(t, root, 12, 100)
		s := pss.NewSampler(root, time.Second)
		all := map[pss.Key]pss.Process{{PID: 10, Start: 1}: {}, {PID: 11, Start: 1}: {RSS: 4<<30 + 1}, {PID: 12, Start: 1}: {RSS: 4 << 30}}
		s.SetProcesses(all)
		run(t, s)
		time.Sleep(5 * time.Second)
		if _, at, err := s.Of(11, 1); !errors.Is(err, pss.ErrTooLarge) || !at.IsZero() {
			t.Errorf("a large process: %v, %v", err, at)
		}
		if _, _, err := s.Of(12, 1); err != nil {
			t.Errorf("one at the bound: %v", err)
		}
		if err := os.WriteFile(filepath.Join(root, "10/smaps_rollup"), []byte("Rss: 1 kB\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if m, at, err := s.Of(10, 1); !errors.Is(err, procfs.ErrShape) || at.IsZero() || m.PSS != 100<<10 {
			t.Errorf("an unreadable file: %v, %v, %+v", err, at, m)
		}
		write(t, root, 10, 120)
		time.Sleep(5 * time.Second)
		if m, _, err := s.Of(10, 1); err != nil || m.PSS != 120<<10 {
			t.Errorf("a readable one after it: %v, %+v", err, m)
		}
		if err := os.RemoveAll(filepath.Join(root, "10")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if m, _, err := s.Of(10, 1); err != nil || m.PSS != 120<<10 {
			t.Errorf("a process that has ended: %v, %+v", err, m)
		}
	})
}

// The processes of one account do not delay the first sample of another account: it is
// the second of all samples at the latest.
func TestSamplerIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := t.TempDir()
		all := make(map[pss.Key]pss.Process)
		for pid := 100; pid < 130; pid++ {
			write(t, root, pid, 100)
			all[pss.Key{PID: pid, Start: 1}] = pss.Process{Owner: 33}
		}
		write(t, root, 50, 100)
		all[pss.Key{PID: 50, Start: 1}] = pss.Process{Owner: 34}
		s := pss.NewSampler(root, time.Hour)
		s.SetProcesses(all)
		run(t, s)
		read := func() (a, b int) {
			for k, p := range all {
				if _, at, _ := s.Of(k.PID, 1); !at.IsZero() && p.Owner == 33 {
					a++
				} else if !at.IsZero() {
					b++
				}
			}
			return a, b
		}
		for range 100_000 {
			time.Sleep(time.Microsecond)
			if a, b := read(); a+b >= 2 {
				if b != 1 {
					t.Errorf("%d processes of the other account came first", a)
				}
				return
			}
		}
		a, b := read()
		t.Errorf("%d and %d processes were read", a, b)
	})
}
