package memory_test

import (
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// mapped returns memory of this process that no collector moves, with the bytes
// 0, 1, 2 … in it, and its address.
func mapped(t testing.TB, size int) ([]byte, uint64) {
	t.Helper()
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	for i := range b {
		b[i] = byte(i)
	}
	return b, uint64(uintptr(unsafe.Pointer(&b[0])))
}

func TestRead(t *testing.T) {
	b, addr := mapped(t, 8192)
	p := memory.NewProcess(os.Getpid())
	one, two := make([]byte, 4), make([]byte, 8)
	if err := p.Read(memory.Part{Addr: addr + 1, Into: one}, memory.Part{Addr: addr}, memory.Part{Addr: addr + 100, Into: two}); err != nil {
		t.Fatal(err)
	}
	if string(one) != string(b[1:5]) || string(two) != string(b[100:108]) {
		t.Errorf("read %v and %v", one, two)
	}
	if p.Calls() != 1 || p.Bytes() != 12 {
		t.Errorf("%d calls, %d bytes", p.Calls(), p.Bytes())
	}
	r := memory.NewReader(p)
	if v, err := r.Uint64(addr + 1); err != nil || v != 0x0807060504030201 {
		t.Errorf("%#x, %v", v, err)
	}
	if v, err := r.Uint32(addr + 1); err != nil || v != 0x04030201 {
		t.Errorf("%#x, %v", v, err)
	}
	if v := memory.Uint64At(b, 1); v != 0x0807060504030201 {
		t.Errorf("%#x", v)
	}
	if v := memory.Uint32At(b, 1); v != 0x04030201 {
		t.Errorf("%#x", v)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Uint64(addr) }); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
}

func TestReadRefuses(t *testing.T) {
	_, addr := mapped(t, 8192)
	p := memory.NewProcess(os.Getpid())
	into := make([]byte, 8)
	for name, c := range map[string]struct {
		parts []memory.Part
		want  error
	}{
		"null":           {[]memory.Part{{Addr: 0, Into: into}}, memory.ErrAddress},
		"below a page":   {[]memory.Part{{Addr: 4095, Into: into}}, memory.ErrAddress},
		"the kernel's":   {[]memory.Part{{Addr: 1 << 47, Into: into}}, memory.ErrAddress},
		"over the end":   {[]memory.Part{{Addr: 1<<47 - 4, Into: into}}, memory.ErrAddress},
		"overflow":       {[]memory.Part{{Addr: ^uint64(0), Into: into}}, memory.ErrAddress},
		"too long":       {[]memory.Part{{Addr: addr, Into: make([]byte, memory.MaxLength+1)}}, memory.ErrLength},
		"too many":       {make([]memory.Part, memory.MaxParts+1), memory.ErrParts},
		"nothing there":  {[]memory.Part{{Addr: 8192, Into: into}}, unix.EFAULT},
		"half not there": {[]memory.Part{{Addr: addr, Into: into}, {Addr: 8192, Into: into}}, memory.ErrShort},
	} {
		if err := p.Read(c.parts...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.Calls() != 2 {
		t.Errorf("%d calls", p.Calls())
	}
	if err := p.Read(); err != nil {
		t.Errorf("nothing to read: %v", err)
	}
	r := memory.NewReader(p)
	if _, err := r.Uint64(0); !errors.Is(err, memory.ErrAddress) {
		t.Errorf("word: %v", err)
	}
	if _, err := r.Uint32(0); !errors.Is(err, memory.ErrAddress) {
		t.Errorf("half word: %v", err)
	}
	if memory.Check(addr, -1) == nil {
		t.Error("a negative length")
	}
	for _, offset := range []int{-1, 1, 8} {
		if memory.Uint64At(into, offset) != 0 || memory.Uint32At(into[:4], offset) != 0 {
			t.Errorf("offset %d", offset)
		}
	}
	gone := memory.NewProcess(1 << 22)
	if err := gone.Read(memory.Part{Addr: addr, Into: into}); !errors.Is(err, unix.ESRCH) {
		t.Errorf("no such process: %v", err)
	}
}
