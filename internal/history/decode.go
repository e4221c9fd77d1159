package history

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Errors of a segment. What stands before the record that they are about is sound.
var (
	errTorn    = errors.New("the last record is not whole")
	errDamaged = errors.New("a record is damaged")
)

// entry is one request of a sample that is read.
type entry struct {
	row     int // of decoder.rows
	seconds float64
}

// decoder reads the samples of one segment. The rows that it has read stay valid.
type decoder struct {
	rest    []byte
	read    int // bytes of the whole records read so far, with the magic
	last    int64
	crc     *crc32.Table
	strings []string // the first is ""
	block   []*Blocker
	rows    []Request // the first is none
	entries []entry   // of the last sample
}

// newDecoder returns a decoder of a segment; an error if it is none.
func newDecoder(segment []byte) (*decoder, error) {
	switch {
	case len(segment) < len(magic):
		return nil, errTorn
	case string(segment[:len(magic)]) != magic:
		return nil, errDamaged
	}
	return &decoder{
		rest: segment[len(magic):], read: len(magic), crc: castagnoli(),
		strings: make([]string, 1), block: make([]*Blocker, 1), rows: make([]Request, 1),
	}, nil
}

// next reads the next sample, whose requests are d.entries until the next call. The
// error is io.EOF after the last one.
func (d *decoder) next() (time.Time, error) {
	switch {
	case len(d.rest) == 0:
		return time.Time{}, io.EOF
	case len(d.rest) < headBytes:
		return time.Time{}, errTorn
	}
	n := binary.LittleEndian.Uint32(d.rest)
	sum := binary.LittleEndian.Uint32(d.rest[4:])
	switch {
	case n > maxRecord:
		return time.Time{}, errDamaged
	case int(n) > len(d.rest)-headBytes:
		return time.Time{}, errTorn
	}
	payload := d.rest[headBytes : headBytes+n]
	if crc32.Checksum(payload, d.crc) != sum {
		return time.Time{}, errDamaged
	}
	if !d.payload(payload) {
		return time.Time{}, errDamaged
	}
	d.rest = d.rest[headBytes+n:]
	d.read += headBytes + int(n)
	return time.UnixMilli(d.last), nil
}

// latestTime is the last time that a sample may have, in milliseconds since 1970: a
// million years.
const latestTime = 1_000_000 * 366 * 24 * 3600 * 1000

// payload reads the payload of a record; false: it has what no encoder writes. The
// segment cannot be read any further then.
func (d *decoder) payload(b []byte) bool {
	p := parser{rest: b}
	at := p.number(latestTime)
	for range p.number(maxTable) {
		s := string(p.bytes(p.number(maxString)))
		if p.bad || !utf8.ValidString(s) || len(d.strings) > 2*maxTable {
			return false
		}
		d.strings = append(d.strings, s)
	}
	for range p.number(maxTable) {
		if p.bad || len(d.block) > 2*maxTable {
			return false
		}
		d.block = append(d.block, d.blocker(&p))
	}
	for range p.number(maxTable) {
		if p.bad || len(d.rows) > 2*maxTable {
			return false
		}
		d.rows = append(d.rows, d.row(&p))
	}
	if !d.requests(&p) || len(p.rest) > 0 || d.last+int64(at) > latestTime { //nolint:gosec // at is at most latestTime
		return false
	}
	d.last += int64(at) //nolint:gosec // it is at most latestTime
	return true
}

// requests reads the requests of a sample; false: they are damaged.
func (d *decoder) requests(p *parser) bool {
	d.entries = d.entries[:0]
	row := 0
	for range p.number(maxRecord) {
		row += int(p.number(uint64(len(d.rows))))
		tenths := p.number(tenthsMost)
		if p.bad || row == 0 || row >= len(d.rows) {
			return false
		}
		d.entries = append(d.entries, entry{row, float64(tenths) / 10})
	}
	return !p.bad
}

func (d *decoder) blocker(p *parser) *Blocker {
	return &Blocker{
		App: d.text(p), Slot: d.text(p), PID: p.int(), Server: d.text(p), Connection: p.number(1<<64 - 1), Peer: d.text(p), View: d.text(p),
		Line: model.Frame{Function: d.text(p), File: d.text(p), Line: p.int()},
	}
}

func (d *decoder) row(p *parser) Request {
	return Request{
		App: d.text(p), Slot: d.text(p), PID: p.int(), Task: p.number(1) == 1, View: d.text(p), On: d.text(p), Peer: d.text(p), Kind: d.text(p),
		Line: model.Frame{Function: d.text(p), File: d.text(p), Line: p.int()}, Digest: d.text(p), Blocker: d.block[p.number(uint64(len(d.block)-1))],
	}
}

// text reads the number of a string.
func (d *decoder) text(p *parser) string { return d.strings[p.number(uint64(len(d.strings)-1))] }

// parser reads numbers. After a fault all are 0.
type parser struct {
	rest []byte
	bad  bool
}

// number reads a number that is most at most.
func (p *parser) number(most uint64) uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.bad || n <= 0 || v > most {
		p.bad = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) int() int { return int(p.number(1<<31 - 1)) } //nolint:gosec // it is bounded

func (p *parser) bytes(n uint64) []byte {
	if p.bad || n > uint64(len(p.rest)) {
		p.bad = true
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

// encoder returns the encoder with which the segment is continued.
func (d *decoder) encoder() *encoder {
	e := newEncoder()
	e.last = d.last
	for i, s := range d.strings[1:] {
		e.strings[s] = uint32(i + 1) //nolint:gosec // bounded by maxTable
	}
	of := func(s string) uint32 { return e.strings[s] }
	blockers := make(map[*Blocker]uint32)
	for i, b := range d.block[1:] {
		e.blockers[e.blockerOf(b, of)] = uint32(i + 1) //nolint:gosec // bounded by maxTable
		blockers[b] = uint32(i + 1)                    //nolint:gosec // bounded by maxTable
	}
	for i := range d.rows[1:] {
		r := &d.rows[i+1]
		k := e.key(r, of)
		k.blocker = blockers[r.Blocker]
		e.rows[k] = uint32(i + 1) //nolint:gosec // bounded by maxTable
	}
	return e
}
