package memory_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

// A function that computes or sleeps for longer than the limit is not given up, however
// often it reads. The clock stands still while it runs, so that no read is late on a busy
// machine.
func TestWatchdogWaitsForSlowFunctions(t *testing.T) {
	_, addr := mapped(t, 8192)
	synctest.Test(t, func(t *testing.T) {
		var w memory.Watchdog
		p := memory.NewWatched(os.Getpid(), &w)
		into := make([]byte, 64)
		for range 3 {
			ran := 0
			if !w.Do(func() {
				for range 20 {
					if err := p.Read(memory.Part{Addr: addr, Into: into}); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
					ran++
				}
				time.Sleep(30 * time.Second)
			}) || ran != 20 {
				t.Fatalf("given up after %d of 20 reads", ran)
			}
		}
		if memory.Hung(&w) != 0 || w.Refused() != 0 {
			t.Errorf("%d hang, %d refused", memory.Hung(&w), w.Refused())
		}
	})
}

// A function whose read does not return is given up. It never continues after the read,
// and others run meanwhile, until too many hang.
func TestWatchdogGivesUp(t *testing.T) {
	addr, release := pystacktest.MissingPage(t)
	_, there := mapped(t, 8192)
	var w memory.Watchdog
	const never, soon = time.Hour, 20 * time.Millisecond // a read that returns may be late
	p := memory.NewWatched(os.Getpid(), &w)
	into := make([]byte, 8)
	deferred := make(chan bool, 100)
	const most = 32
	for n := 1; n <= most; n++ {
		memory.SetWatchLimit(&w, soon)
		if w.Do(func() {
			defer func() { deferred <- true }()
			lost := memory.NewWatched(os.Getpid(), &w)
			_ = lost.Read(memory.Part{Addr: addr, Into: make([]byte, 8)})
			t.Error("went on after it was given up")
		}) {
			t.Fatal("a read of a page that does not come returned")
		}
		if memory.Hung(&w) != n {
			t.Fatalf("%d hang, want %d", memory.Hung(&w), n)
		}
		if memory.SetWatchLimit(&w, never); n < most && !w.Do(func() {
			if err := p.Read(memory.Part{Addr: there, Into: into}); err != nil || into[1] != 1 {
				t.Errorf("another one: %v, %v", err, into)
			}
		}) {
			t.Fatal("another one was given up")
		}
	}
	w.Do(func() {
		if err := p.Read(memory.Part{Addr: there, Into: into}); !errors.Is(err, memory.ErrHung) {
			t.Errorf("with many that hang: %v", err)
		}
	})
	if n := w.Refused(); n != most+1 {
		t.Errorf("%d reads refused, want %d", n, most+1)
	}
	release()
	for range most {
		<-deferred
	}
	for end := time.Now().Add(20 * time.Second); memory.Hung(&w) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d still hang", memory.Hung(&w))
		}
	}
	w.Do(func() {
		if err := p.Read(memory.Part{Addr: there, Into: into}); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

// BenchmarkWatchdog is a read alone, in a function of its own, and of ten in one function.
func BenchmarkWatchdog(b *testing.B) {
	_, addr := mapped(b, 16384)
	var w memory.Watchdog
	p := memory.NewWatched(os.Getpid(), &w)
	part := []memory.Part{{Addr: addr, Into: make([]byte, 8192)}}
	one := func() {
		if err := p.Read(part...); err != nil {
			b.Error(err)
		}
	}
	direct := memory.NewProcess(os.Getpid())
	b.Run("unwatched read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := direct.Read(part...); err != nil {
				b.Error(err)
			}
		}
	})
	b.Run("one read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.Do(one)
		}
	})
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
