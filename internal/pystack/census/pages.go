package census

import (
	"encoding/binary"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	blockSize = 16 << 10 // bytes that are read at once; pools of the allocator are as large
	pageSize  = 4 << 10
	blocks    = 1024 // that are kept
)

// pages reads the memory of a process in blocks, of which the last ones are kept. It is a
// [memory.Memory] itself.
type pages struct {
	mem   memory.Memory
	addrs [blocks]uint64 // of the kept blocks; 0: none
	valid [blocks]uint8  // pages of the block that could be read, a bit each
	data  []byte
	part  [1]memory.Part
	err   error  // of the last read that failed
	reads uint64 // tried
}

// newPages returns pages of which nothing is read yet.
func newPages(mem memory.Memory) *pages {
	return &pages{mem: mem, data: make([]byte, blocks*blockSize)}
}

// reset removes all blocks, and the last error.
func (p *pages) reset() {
	clear(p.addrs[:])
	p.err = nil
}

// block returns a block by its address, in which the page of this number has been read.
// It reads the page if needed; nil and false if that fails.
func (p *pages) block(addr, page uint64) ([]byte, bool) {
	i := addr / blockSize * 0x9e3779b97f4a7c15 >> 54 // ten bits: blocks
	data := p.data[i*blockSize:][:blockSize:blockSize]
	bit := uint8(1) << page
	if p.addrs[i] == addr && p.valid[i]&bit != 0 {
		return data, true
	}
	if p.addrs[i] != addr {
		p.addrs[i], p.valid[i] = addr, 0
		if p.fill(addr, data) {
			p.valid[i] = 15
			return data, true
		}
	}
	if !p.fill(addr+page*pageSize, data[page*pageSize:][:pageSize]) {
		return nil, false
	}
	p.valid[i] |= bit
	return data, true
}

// fill reads memory at an address into into. false: it cannot be read, and p.err says why
// if it was tried.
func (p *pages) fill(addr uint64, into []byte) bool {
	if memory.Check(addr, len(into)) != nil {
		return false
	}
	p.reads++
	p.part[0] = memory.Part{Addr: addr, Into: into}
	if err := p.mem.Read(p.part[:]...); err != nil {
		p.err = err
		return false
	}
	return true
}

// view returns n bytes at an address, at most a page, which later calls overwrite; nil if
// they cannot be read. into has room for those that lie in two pages.
func (p *pages) view(addr uint64, n int, into []byte) []byte {
	if memory.Check(addr, n) != nil {
		return nil
	}
	at := addr % blockSize
	if at%pageSize+uint64(n) <= pageSize {
		b, ok := p.block(addr-at, at/pageSize)
		if !ok {
			return nil
		}
		return b[at:][:n]
	}
	into = into[:n]
	if !p.copy(addr, into) {
		return nil
	}
	return into
}

// copy fills into with what is at an address, which was checked; false if a part cannot
// be read.
func (p *pages) copy(addr uint64, into []byte) bool {
	for len(into) > 0 {
		at := addr % blockSize
		b, ok := p.block(addr-at, at/pageSize)
		if !ok {
			return false
		}
		n := copy(into, b[at:min(at-at%pageSize+pageSize, blockSize)])
		into, addr = into[n:], addr+uint64(n)
	}
	return true
}

// word returns the 8 bytes at an address as a number; false if they cannot be read.
func (p *pages) word(addr uint64) (uint64, bool) {
	var room [8]byte
	b := p.view(addr, 8, room[:])
	if b == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b), true
}

// Read implements [memory.Memory]. [memory.ErrShort]: a part cannot be read; one that may
// not be read has the error of [memory.Check].
func (p *pages) Read(parts ...memory.Part) error {
	for i := range parts {
		part := &parts[i]
		if len(part.Into) == 0 {
			continue
		}
		if err := memory.Check(part.Addr, len(part.Into)); err != nil {
			return err
		}
		if !p.copy(part.Addr, part.Into) {
			return memory.ErrShort
		}
	}
	return nil
}
