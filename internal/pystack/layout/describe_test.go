package layout_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
)

// table13 and table14 are the first words of _PyRuntime, after the cookie, of
// CPython 3.13.18 and 3.14.10.
func table13() []uint64 {
	return []uint64{
		51188464, 0,
		283408, 608, 632,
		194984, 7272, 7264, 7344, 7400, 7656, 7640, 7648, 16, 7752, 0, 7768, 7760,
		312, 0, 8, 16, 72, 152, 160, 232, 32,
		80, 8, 0, 56, 72, 70,
		208, 112, 120, 128, 136, 68, 52, 96, 104, 200,
	}
}

func table14() []uint64 {
	return []uint64{
		51251952, 0,
		316616, 784, 808,
		225864, 7280, 7272, 7344, 7360, 7408, 7688, 7672, 7680, 16, 7784, 0, 7800, 7792, 7992, 0,
		832, 0, 8, 16, 72, 152, 160, 232, 32,
		88, 8, 0, 56, 80, 74, 64, 0,
		216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0,
	}
}

func encode(words []uint64) []byte {
	b := make([]byte, layout.DescribedSize)
	copy(b, "xdebugpy")
	for i, w := range words {
		binary.LittleEndian.PutUint64(b[8+8*i:], w)
	}
	return b
}

func TestDescribe(t *testing.T) {
	for minor, words := range map[int][]uint64{13: table13(), 14: table14()} {
		want, _ := layout.For(minor, false)
		got := want
		version, err := got.Describe(encode(words))
		if err != nil || int(version>>16&0xff) != minor {
			t.Fatalf("3.%d: version %#x, %v", minor, version, err)
		}
		if got != want {
			t.Errorf("3.%d: described %+v, table %+v", minor, got, want)
		}
		words[4] += 8
		if _, err := got.Describe(encode(words)); err != nil || got.Runtime.InterpretersHead != want.Runtime.InterpretersHead+8 {
			t.Errorf("3.%d: a field that moved is at %d, %v", minor, got.Runtime.InterpretersHead, err)
		}
	}
}

func TestDescribeRefuses(t *testing.T) {
	change := func(word int, to uint64) []byte {
		words := table13()
		words[word-1] = to
		return encode(words)
	}
	for name, b := range map[string][]byte{
		"short":             encode(table13())[:100],
		"no cookie":         make([]byte, layout.DescribedSize),
		"another version":   change(1, 0x030f0000),
		"a long version":    change(1, 1<<40),
		"a far interpreter": change(5, 1<<40),
		"an odd field":      change(29, 9),
		"a far thread id":   change(24, 1<<12),
		"a table elsewhere": change(38, 144),
		"a name elsewhere":  change(36, 200),
		"a frame too long":  change(31, 120),
	} {
		l, _ := layout.For(13, false)
		if _, err := l.Describe(b); err == nil || errors.Is(err, layout.ErrFreeThreaded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, _ := layout.For(13, false)
	if _, err := l.Describe(change(2, 1)); !errors.Is(err, layout.ErrFreeThreaded) {
		t.Errorf("free-threaded: %v", err)
	}
}

func TestFor(t *testing.T) {
	for _, minor := range []int{7, 15} {
		if _, ok := layout.For(minor, false); ok {
			t.Errorf("3.%d has a layout", minor)
		}
	}
	for minor := 8; minor <= 14; minor++ {
		plain, ok := layout.For(minor, false)
		traced, _ := layout.For(minor, true)
		if !ok {
			t.Fatalf("3.%d has none", minor)
		}
		want := 0
		if minor <= 12 {
			want = 16
		}
		if got := traced.Code.Filename - plain.Code.Filename; got != want {
			t.Errorf("3.%d: a code object is shifted by %d", minor, got)
		}
		if minor > 10 {
			want = 0
		}
		if got := traced.Frame.Code - plain.Frame.Code; got != want {
			t.Errorf("3.%d: a frame is shifted by %d", minor, got)
		}
		if got := traced.Code.QualName - plain.Code.QualName; plain.Code.QualName < 0 && got != 0 {
			t.Errorf("3.%d: an absent field is shifted by %d", minor, got)
		}
		if end := plain.Code.Table + 8; end != plain.Code.Size {
			t.Errorf("3.%d: a code object is read up to %d, its table is before %d", minor, plain.Code.Size, end)
		}
	}
}
