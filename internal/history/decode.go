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

// recordReader reads the records of one segment.
type recordReader struct {
	rest []byte
	read int // bytes of the whole records read so far, with the magic
	crc  *crc32.Table
}

// reset begins to read a segment. errTorn: it is shorter than its magic; errDamaged: it
// begins with something else.
func (r *recordReader) reset(segment []byte) error {
	switch {
	case len(segment) < len(magic):
		return errTorn
	case string(segment[:len(magic)]) != magic:
		return errDamaged
	}
	r.rest, r.read, r.crc = segment[len(magic):], len(magic), castagnoli()
	return nil
}

// payload returns the payload of the next record. io.EOF: there is none any more; errTorn:
// the last record is not whole; errDamaged: the record is damaged.
func (r *recordReader) payload() ([]byte, error) {
	switch {
	case len(r.rest) == 0:
		return nil, io.EOF
	case len(r.rest) < headBytes:
		return nil, errTorn
	}
	n := binary.LittleEndian.Uint32(r.rest)
	sum := binary.LittleEndian.Uint32(r.rest[4:])
	switch {
	case n > maxRecord:
		return nil, errDamaged
	case int(n) > len(r.rest)-headBytes:
		return nil, errTorn
	}
	payload := r.rest[headBytes : headBytes+n]
	if crc32.Checksum(payload, r.crc) != sum {
		return nil, errDamaged
	}
	return payload, nil
}

// pass goes to the record after the one with this payload.
func (r *recordReader) pass(payload []byte) {
	n := headBytes + len(payload)
	r.rest = r.rest[n:]
	r.read += n
}

// skim passes the next record, and returns its time in milliseconds since 1970; last is that
// of the record before, and is returned with an error, one of [recordReader.payload].
func (r *recordReader) skim(last int64) (int64, error) {
	payload, err := r.payload()
	if err != nil {
		return last, err
	}
	p := parser{rest: payload}
	at := last + int64(p.number(latestTime)) //nolint:gosec // it is at most latestTime
	if p.bad || at > latestTime {
		return last, errDamaged
	}
	r.pass(payload)
	return at, nil
}

// decoder reads the samples of one segment after another. Its rows are valid until the next
// reset; their texts and blockers stay valid.
type decoder struct {
	records recordReader
	last    int64
	strings []string // the first is ""
	block   []*Blocker
	rows    []Request // the first is none
	entries []entry   // of the last sample
}

// newDecoder returns a decoder without a segment.
func newDecoder() *decoder {
	return &decoder{strings: make([]string, 1), block: make([]*Blocker, 1), rows: make([]Request, 1)}
}

// reset begins to read a segment. The errors are those of [recordReader.reset].
func (d *decoder) reset(segment []byte) error {
	d.last, d.strings, d.block, d.rows, d.entries = 0, d.strings[:1], d.block[:1], d.rows[:1], d.entries[:0]
	return d.records.reset(segment)
}

// next reads the next sample and returns its time; its requests are d.entries until the
// next call. io.EOF: there is none any more; errTorn: the last record is not whole;
// errDamaged: the record is damaged.
func (d *decoder) next() (time.Time, error) {
	payload, err := d.records.payload()
	if err != nil {
		return time.Time{}, err
	}
	if !d.payload(payload) {
		return time.Time{}, errDamaged
	}
	d.records.pass(payload)
	return time.UnixMilli(d.last), nil
}

// latestTime is the last time that a sample may have, in milliseconds since 1970: a
// million years.
const latestTime = 1_000_000 * 366 * 24 * 3600 * 1000

// payload reads the payload of a record into the tables and d.entries. false: it has what
// no encoder writes; the segment cannot be read any further then.
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

// requests reads the requests of a sample into d.entries. false: they are damaged.
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

// blocker returns the next blocker; what is missing in the bytes is 0 or "", and sets bad.
func (d *decoder) blocker(p *parser) *Blocker {
	return &Blocker{
		App: d.text(p), Slot: d.text(p), PID: p.int(), Server: d.text(p), Connection: p.number(1<<64 - 1), Peer: d.text(p), View: d.text(p),
		Line: model.Frame{Function: d.text(p), File: d.text(p), Line: p.int()},
	}
}

// row returns the next row; what is missing in the bytes is 0 or "", and sets bad.
func (d *decoder) row(p *parser) Request {
	return Request{
		App: d.text(p), Slot: d.text(p), PID: p.int(), Task: p.number(1) == 1, View: d.text(p), On: d.text(p), Peer: d.text(p), Kind: d.text(p),
		Line: model.Frame{Function: d.text(p), File: d.text(p), Line: p.int()}, Digest: d.text(p), Blocker: d.block[p.number(uint64(len(d.block)-1))],
	}
}

// text reads the number of a string and returns that string. A bad number sets p.bad, and
// gives "".
func (d *decoder) text(p *parser) string { return d.strings[p.number(uint64(len(d.strings)-1))] }

// parser reads numbers. After a fault all are 0.
type parser struct {
	rest []byte
	bad  bool
}

// number returns the next number, of at most most. A larger one, or none, sets p.bad and is
// 0.
func (p *parser) number(most uint64) uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.bad || n <= 0 || v > most {
		p.bad = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// int returns the next number; 0, and sets bad, if it is missing or above 2^31-1.
func (p *parser) int() int { return int(p.number(1<<31 - 1)) } //nolint:gosec // it is bounded

// bytes returns the next n bytes; nil, and sets bad, if there are fewer.
func (p *parser) bytes(n uint64) []byte {
	if p.bad || n > uint64(len(p.rest)) {
		p.bad = true
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

// encoder returns an encoder that continues the segment that was read, with its tables
// and its last time.
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
