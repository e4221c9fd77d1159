package census_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// image is memory from an address on.
type image struct {
	from uint64
	data []byte
}

func (m *image) Read(parts ...memory.Part) error {
	for _, p := range parts {
		if p.Addr < m.from || p.Addr-m.from+uint64(len(p.Into)) > uint64(len(m.data)) {
			return unix.EFAULT
		}
		copy(p.Into, m.data[p.Addr-m.from:])
	}
	return nil
}

func (m *image) put(addr, value uint64) {
	binary.LittleEndian.PutUint64(m.data[addr-m.from:], value)
}

// The lists of 3.13 are found with the node aligned to 8 and to 4 bytes, and where a list
// does not lead back to its head there are none.
func TestPlaces(t *testing.T) {
	layout, err := object.LayoutOf(3, 13, false)
	if err != nil {
		t.Fatal(err)
	}
	const interp = 0x100000
	for _, c := range []struct {
		generations, permanent, collecting uint64
		on                                 uint64
		want                               error
	}{
		{7424, 7504, 7600, 0, nil},
		{7420, 7504, 7600, 0, nil},
		{7420, 7504, 7600, 1, census.ErrCollecting},
		{7420, 7500, 7596, 0, census.ErrLayout}, // a pointer would not be aligned
		{7416, 7496, 7592, 0, census.ErrLayout},
	} {
		m := &image{from: interp, data: make([]byte, 1<<16)}
		for i := range uint64(4) {
			head := interp + c.generations + 24*i
			if i == 3 {
				head = interp + c.permanent
			}
			m.put(head, head)
			m.put(head+8, head)
		}
		m.put(interp+c.collecting, c.on)
		h, err := census.New(census.Target{Memory: m, Minor: 13, Interp: interp, Objects: layout, Holds: func() bool { return true }}).Walk(t.Context())
		if !errors.Is(err, c.want) || err == nil && h.Objects != 0 {
			t.Errorf("lists at %d and %d: %v, want %v", c.generations, c.permanent, err, c.want)
		}
	}
}
