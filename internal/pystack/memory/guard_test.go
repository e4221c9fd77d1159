package memory_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
)

func TestGuardReads(t *testing.T) {
	b, addr := mapped(t, 8192)
	var g memory.Guard
	one, two := make([]byte, 4), make([]byte, 4000)
	parts := []memory.Part{{Addr: addr + 1, Into: one}, {Addr: addr}, {Addr: addr + 100, Into: two}}
	if err := g.Read(os.Getpid(), parts...); err != nil || string(one) != string(b[1:5]) || string(two) != string(b[100:4100]) {
		t.Errorf("%v, read %v", err, one)
	}
	for want, part := range map[error]memory.Part{
		memory.ErrAddress: {Into: one}, memory.ErrLength: {Addr: addr, Into: make([]byte, memory.MaxLength+1)}, unix.EFAULT: {Addr: 8192, Into: one},
	} {
		if err := g.Read(os.Getpid(), part); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if err := g.Read(os.Getpid(), parts[0], memory.Part{Addr: 8192, Into: one}); !errors.Is(err, memory.ErrShort) {
		t.Errorf("half there: %v", err)
	}
	if err := g.Read(os.Getpid(), make([]memory.Part, memory.MaxParts+1)...); !errors.Is(err, memory.ErrParts) {
		t.Errorf("too many: %v", err)
	}
	if g.Refused() != 0 || g.Hung() != 0 {
		t.Errorf("%d refused, %d hang", g.Refused(), g.Hung())
	}
}

// A page that does not come costs the limit once.
func TestGuardHangs(t *testing.T) {
	addr, release := pystacktest.MissingPage(t)
	_, there := mapped(t, 8192)
	var g memory.Guard
	memory.SetLimit(&g, 100*time.Millisecond)
	into := make([]byte, 8)
	if err := g.Read(os.Getpid(), memory.Part{Addr: addr, Into: into}); !errors.Is(err, memory.ErrHung) || g.Hung() != 1 {
		t.Fatalf("%v, %d hang", err, g.Hung())
	}
	memory.SetLimit(&g, 20*time.Second)
	if err := g.Read(os.Getpid(), memory.Part{Addr: there, Into: into}); err != nil || into[1] != 1 {
		t.Errorf("another process: %v, %v", err, into)
	}
	memory.SetLimit(&g, 10*time.Millisecond)
	for range 20 {
		_ = g.Read(os.Getpid(), memory.Part{Addr: addr, Into: into})
	}
	if n := g.Hung(); n != 8 {
		t.Errorf("%d reads hang, 8 at most", n)
	}
	release()
	for end := time.Now().Add(20 * time.Second); g.Hung() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d reads still hang", g.Hung())
		}
	}
	memory.SetLimit(&g, 20*time.Second)
	if err := g.Read(os.Getpid(), memory.Part{Addr: there, Into: into}); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func BenchmarkGuard(b *testing.B) {
	_, addr := mapped(b, 16384)
	direct, guard := memory.NewProcess(os.Getpid()), new(memory.Guard)
	for name, read := range map[string]func(...memory.Part) error{
		"direct":  direct.Read,
		"guarded": func(parts ...memory.Part) error { return guard.Read(os.Getpid(), parts...) },
	} {
		b.Run(name, func(b *testing.B) {
			into := make([]byte, 8192)
			part := []memory.Part{{Addr: addr, Into: into}}
			b.ReportAllocs()
			for b.Loop() {
				if err := read(part...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
