package memory_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// A function that computes or sleeps for longer than the limit is not given up, however
// often it reads.
func TestWatchdogWaitsForSlowFunctions(t *testing.T) {
	_, addr := mapped(t, 8192)
	var w memory.Watchdog
	memory.SetWatchLimit(&w, 5*time.Millisecond)
	p := memory.NewWatched(os.Getpid(), &w)
	into := make([]byte, 64)
	for range 3 {
		ran := 0
		if !w.Do(func() {
			for range 20 {
				if err := p.Read(memory.Part{Addr: addr, Into: into}); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
				ran++
			}
			time.Sleep(30 * time.Millisecond)
		}) || ran != 20 {
			t.Fatalf("given up after %d of 20 reads", ran)
		}
	}
	if w.Hung() != 0 || w.Refused() != 0 {
		t.Errorf("%d hang, %d refused", w.Hung(), w.Refused())
	}
}

// A function whose read does not return is given up. It never goes on behind the read,
// and others run meanwhile, until too many hang.
func TestWatchdogGivesUp(t *testing.T) {
	addr, release := pystacktest.MissingPage(t)
	_, there := mapped(t, 8192)
	var w memory.Watchdog
	memory.SetWatchLimit(&w, 20*time.Millisecond)
	p := memory.NewWatched(os.Getpid(), &w)
	into := make([]byte, 8)
	deferred := make(chan bool, 100)
	for n := 1; n <= 8; n++ {
		if w.Do(func() {
			defer func() { deferred <- true }()
			lost := memory.NewWatched(os.Getpid(), &w)
			_ = lost.Read(memory.Part{Addr: addr, Into: make([]byte, 8)})
			t.Error("went on after it was given up")
		}) {
			t.Fatal("a read of a page that does not come returned")
		}
		if w.Hung() != n {
			t.Fatalf("%d hang, want %d", w.Hung(), n)
		}
		if n < 8 && !w.Do(func() {
			if err := p.Read(memory.Part{Addr: there, Into: into}); err != nil || into[1] != 1 {
				t.Errorf("another one: %v, %v", err, into)
			}
		}) {
			t.Fatal("another one was given up")
		}
	}
	w.Do(func() {
		if err := p.Read(memory.Part{Addr: there, Into: into}); !errors.Is(err, memory.ErrHung) {
			t.Errorf("with eight that hang: %v", err)
		}
	})
	if n := w.Refused(); n != 9 {
		t.Errorf("%d reads refused, want 9", n)
	}
	release()
	for range 8 {
		<-deferred
	}
	for end := time.Now().Add(20 * time.Second); w.Hung() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d still hang", w.Hung())
		}
	}
	w.Do(func() {
		if err := p.Read(memory.Part{Addr: there, Into: into}); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

func BenchmarkWatchdog(b *testing.B) {
	_, addr := mapped(b, 16384)
	var w memory.Watchdog
	p := memory.NewWatched(os.Getpid(), &w)
	part := []memory.Part{{Addr: addr, Into: make([]byte, 8192)}}
	b.Run("ten reads", func(b *testing.B) {
		f := func() {
			for range 10 {
				if err := p.Read(part...); err != nil {
					b.Error(err)
				}
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			w.Do(f)
		}
	})
}
