package object

import (
	"encoding/binary"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	lineSize = 64   // bytes; a line never crosses a page
	lineMost = 4096 // lines of one look
	// trailMost is how many lines are read ahead. They are merged to few parts of
	// process_vm_readv(2).
	trailMost = 1024
	ahead     = 4 // lines that are read at once where one is missing
	gap       = 8 // lines that are read in vain to merge two parts of a page
	pageSize  = 4096
)

// Room has what one look has read, so that nothing is read twice, and the buffers
// of a look. It is for one reader at a time; one room serves many processes, one
// after the other.
type Room struct {
	addrs []uint64 // of each line
	used  []bool
	data  []byte
	table [2 * lineMost]uint16 // index of a line + 1, by its address
	parts [memory.MaxParts]memory.Part
	bulk  [memory.MaxParts * bulkSize]byte
	full  uint64 // how often the room was too small
}

// Trail has which lines the last look at something has read. The next look at it
// reads them at once; what it does not need is forgotten.
type Trail struct{ lines []uint64 }

// Full returns how often a look needed more lines than there is room for, so that it read
// some again.
func (m *Room) Full() uint64 { return m.full }

// slot returns the index in the table at which a line is, or would be put.
func (m *Room) slot(line uint64) int {
	i := int(line / lineSize * 0x9e3779b97f4a7c15 >> 40 % uint64(len(m.table)))
	for m.table[i] != 0 && m.addrs[m.table[i]-1] != line {
		i = (i + 1) % len(m.table)
	}
	return i
}

// reset removes all lines.
func (m *Room) reset() {
	if len(m.addrs) > 0 {
		clear(m.table[:])
	}
	m.addrs, m.used, m.data = m.addrs[:0], m.used[:0], m.data[:0]
}

// add makes room for n lines from an address on and returns their bytes, which the caller
// must fill before anything is read: the table has the lines already.
func (m *Room) add(line uint64, n int) []byte {
	from := len(m.data)
	m.data = slices.Grow(m.data, n*lineSize)[:from+n*lineSize]
	for i := range n {
		addr := line + uint64(i)*lineSize
		m.addrs, m.used = append(m.addrs, addr), append(m.used, false)
		if s := m.slot(addr); m.table[s] == 0 {
			m.table[s] = uint16(len(m.addrs))
		}
	}
	return m.data[from:]
}

// cut removes the lines from an index on.
func (m *Room) cut(n int) {
	m.addrs, m.used, m.data = m.addrs[:n], m.used[:n], m.data[:n*lineSize]
	clear(m.table[:])
	for i, addr := range m.addrs {
		if s := m.slot(addr); m.table[s] == 0 {
			m.table[s] = uint16(i + 1)
		}
	}
}

// readAhead reads the lines of a trail, which are in order, in as few calls as
// possible. Those that cannot be read are left out.
func (m *Room) readAhead(mem memory.Memory, t *Trail) {
	lines := t.lines
	for len(lines) > 0 {
		before, total, n := len(m.addrs), 0, 0
		var spans [memory.MaxParts]struct {
			line  uint64
			count int
		}
		for n < len(spans) && len(lines) > 0 {
			first := lines[0]
			last := first
			for lines = lines[1:]; len(lines) > 0 && lines[0] <= last+(gap+1)*lineSize && lines[0]/pageSize == first/pageSize; lines = lines[1:] {
				last = lines[0]
			}
			spans[n].line, spans[n].count = first, int(last-first)/lineSize+1
			total += spans[n].count
			n++
		}
		if before+total > lineMost {
			return
		}
		m.data = slices.Grow(m.data, total*lineSize) // so that add never moves them
		for i := range n {
			m.parts[i] = memory.Part{Addr: spans[i].line, Into: m.add(spans[i].line, spans[i].count)}
		}
		if mem.Read(m.parts[:n]...) != nil {
			m.cut(before)
		}
	}
}

// line returns the bytes of a line, which are valid until the next read, and reads it if
// needed; nil if it cannot be read.
func (m *Room) line(mem memory.Memory, addr uint64) []byte {
	s := m.slot(addr)
	if m.table[s] == 0 {
		if !m.fetch(mem, addr) {
			return nil
		}
		s = m.slot(addr)
	}
	i := int(m.table[s]) - 1
	m.used[i] = true
	return m.data[i*lineSize : (i+1)*lineSize]
}

// fetch reads the block of four lines that a line is in; false if it cannot be read. If
// there is no room for it, all lines are removed first.
func (m *Room) fetch(mem memory.Memory, addr uint64) bool {
	if memory.Check(addr, lineSize) != nil {
		return false
	}
	if len(m.addrs)+ahead > lineMost {
		m.reset()
		m.full++
	}
	before := len(m.addrs)
	block := addr &^ (ahead*lineSize - 1)
	m.parts[0] = memory.Part{Addr: block, Into: m.add(block, ahead)}
	if mem.Read(m.parts[:1]...) != nil {
		m.cut(before)
		return false
	}
	return true
}

// read fills into with what is at an address; false if not all of it can be read, and then
// into must not be used.
func (m *Room) read(mem memory.Memory, addr uint64, into []byte) bool {
	if memory.Check(addr, len(into)) != nil {
		return false
	}
	for len(into) > 0 {
		at := addr % lineSize
		line := m.line(mem, addr-at)
		if line == nil {
			return false
		}
		n := copy(into, line[at:])
		into, addr = into[n:], addr+uint64(n)
	}
	return true
}

// word returns the 8 bytes at an address that is a multiple of 8, as a number; false if
// they cannot be read.
func (m *Room) word(mem memory.Memory, addr uint64) (uint64, bool) {
	if addr%8 != 0 || addr < memory.MinAddress || addr >= memory.EndAddress {
		return 0, false
	}
	at := addr % lineSize
	line := m.line(mem, addr-at)
	if line == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(line[at:]), true
}

// keep sets a trail to the lines that were used, for [Room.readAhead] of the next look.
func (m *Room) keep(t *Trail) {
	t.lines = t.lines[:0]
	for i, addr := range m.addrs {
		if m.used[i] && len(t.lines) < trailMost {
			t.lines = append(t.lines, addr)
		}
	}
	slices.Sort(t.lines)
}
