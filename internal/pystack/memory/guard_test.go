package memory_test

import (
	"errors"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// missing returns an address of this process whose page nobody delivers until
// release is called (userfaultfd(2), as a file system in user space does).
func missing(t *testing.T) (addr uint64, release func()) {
	t.Helper()
	const (
		api, register  = 0xc018aa3f, 0xc020aa00 // UFFDIO_API, UFFDIO_REGISTER
		apiVersion     = 0xaa
		registerAbsent = 1
	)
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		t.Fatalf("userfaultfd: %v; the test needs root", errno)
	}
	size := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	addr = uint64(uintptr(unsafe.Pointer(&b[0])))
	hello := [3]uint64{apiVersion}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, api, uintptr(unsafe.Pointer(&hello))); errno != 0 {
		t.Fatalf("UFFDIO_API: %v", errno)
	}
	area := [4]uint64{addr, uint64(size), registerAbsent}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, register, uintptr(unsafe.Pointer(&area))); errno != 0 {
		t.Fatalf("UFFDIO_REGISTER: %v", errno)
	}
	closed := false
	release = func() {
		if !closed {
			closed = true
			_ = unix.Close(int(fd)) // whoever waits gets a page of zeros
		}
	}
	t.Cleanup(func() { release(); _ = unix.Munmap(b) })
	return addr, release
}

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

// A page that does not come costs the limit once, and nothing more of that process.
func TestGuardHangs(t *testing.T) {
	addr, release := missing(t)
	_, there := mapped(t, 8192)
	var g memory.Guard
	memory.SetLimit(&g, 100*time.Millisecond)
	p := memory.NewGuarded(os.Getpid(), &g)
	into := make([]byte, 8)
	if err := p.Read(memory.Part{Addr: addr, Into: into}); !errors.Is(err, memory.ErrHung) || g.Hung() != 1 {
		t.Fatalf("%v, %d hang", err, g.Hung())
	}
	if err := p.Read(memory.Part{Addr: there, Into: into}); !errors.Is(err, memory.ErrHung) || g.Refused() != 1 {
		t.Errorf("the same process: %v, %d refused", err, g.Refused())
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
	for name, m := range map[string]memory.Memory{"direct": memory.NewProcess(os.Getpid()), "guarded": memory.NewGuarded(os.Getpid(), new(memory.Guard))} {
		b.Run(name, func(b *testing.B) {
			into := make([]byte, 8192)
			part := []memory.Part{{Addr: addr, Into: into}}
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Read(part...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
