package history

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The format of a segment: the magic, then one record a sample. A record is the length
// of its payload and its CRC-32C (4 bytes each, little-endian), then the payload, all
// numbers as uvarints (package encoding/binary):
//
//	milliseconds since the sample before; of the first one since 1970
//	count of new strings; each as its length and its bytes
//	count of new blockers; each as the fields of blockerKey
//	count of new rows; each as the fields of rowKey
//	count of requests; each as its row less the row before, and its tenths of a second
//
// Strings, blockers and rows are numbered from 1 over the whole segment, so that each is
// written once; 0 is none. Requests are sorted by row.
const (
	magic      = "RESPHIS1"
	headBytes  = 8       // of a record, before its payload
	maxRecord  = 1 << 20 // bytes of a payload
	maxString  = 256     // bytes of a string; what is longer is cut
	maxTable   = 1 << 15 // strings or rows of a segment
	tenthsMost = 1 << 31
)

// castagnoli returns the table of CRC-32C, for which CPUs have an instruction.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// rowKey is a [Request] without its seconds; its texts are numbers of strings.
type rowKey struct {
	app, slot, view, on, peer, kind, function, file, digest, blocker uint32
	pid, line                                                        uint32
	task                                                             bool
}

// blockerKey is a [Blocker]; its texts are numbers of strings.
type blockerKey struct {
	app, slot, server, peer, view, function, file uint32
	pid, line                                     uint32
	connection                                    uint64
}

// encoder writes the samples of one segment. It is used by one goroutine at a time.
type encoder struct {
	strings  map[string]uint32
	blockers map[blockerKey]uint32
	rows     map[rowKey]uint32
	last     int64 // milliseconds since 1970 of the last sample; 0: there was none
	details  budget
	crc      *crc32.Table

	// Of the sample that is written:
	newStrings, newBlockers, newRows []byte
	counts                           [3]uint64 // of new strings, blockers and rows
	requests                         []encoded
	payload                          []byte
	left                             uint64 // requests without their details
}

// encoded is one request of a sample.
type encoded struct {
	row    uint32
	tenths uint64
}

// newEncoder returns an encoder without rows.
func newEncoder() *encoder {
	return &encoder{
		strings: make(map[string]uint32), blockers: make(map[blockerKey]uint32), rows: make(map[rowKey]uint32), details: newBudget(), crc: castagnoli(),
	}
}

// full reports whether the table of strings or of rows of this segment is full, so that the
// next sample must begin another one.
func (e *encoder) full() bool { return len(e.strings) >= maxTable || len(e.rows) >= maxTable }

// append appends the record of one sample to a segment, and returns the segment; a time
// before that of the last sample becomes that one. left is how many of the requests were
// written without view, line and all of the wait but its kind, On, because their app's
// budget or the record was used up.
func (e *encoder) append(segment []byte, at time.Time, requests []Request) (out []byte, left uint64) {
	e.newStrings, e.newBlockers, e.newRows, e.requests = e.newStrings[:0], e.newBlockers[:0], e.newRows[:0], e.requests[:0]
	e.counts, e.left = [3]uint64{}, 0
	e.details.refill(at)
	for i := range requests {
		e.add(&requests[i])
	}
	slices.SortFunc(e.requests, func(a, b encoded) int { return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.tenths, b.tenths)) })
	now := max(at.UnixMilli(), e.last) // a clock that is set back must not be a huge number
	p := binary.AppendUvarint(e.payload[:0], uint64(now-e.last))
	e.last = now
	for i, table := range [][]byte{e.newStrings, e.newBlockers, e.newRows} {
		p = append(binary.AppendUvarint(p, e.counts[i]), table...)
	}
	p = binary.AppendUvarint(p, uint64(len(e.requests)))
	before := uint32(0)
	for _, x := range e.requests {
		p = binary.AppendUvarint(p, uint64(x.row-before))
		p = binary.AppendUvarint(p, x.tenths)
		before = x.row
	}
	e.payload = p
	segment = binary.LittleEndian.AppendUint32(segment, uint32(len(p))) //nolint:gosec // maxRecord at most
	segment = binary.LittleEndian.AppendUint32(segment, crc32.Checksum(p, e.crc))
	return append(segment, p...), e.left
}

// add adds one request to the sample under way. If its row is new and there is no room
// for it, it is written without view, line and wait, and counted in e.left.
func (e *encoder) add(r *Request) {
	row, ok := e.rows[e.keyOf(r)]
	if !ok {
		if e.tables() > maxRecord/2 || !e.details.spend(r) {
			e.left++
			r = &Request{App: r.App, Slot: r.Slot, PID: r.PID, Task: r.Task, On: r.On, Seconds: r.Seconds}
		}
		row = e.define(r)
	}
	tenths := uint64(0)
	if r.Seconds > 0 {
		tenths = uint64(min(r.Seconds*10+0.5, tenthsMost))
	}
	e.requests = append(e.requests, encoded{row, tenths})
}

// tables returns how many bytes the new strings, blockers and rows of the sample under
// way take.
func (e *encoder) tables() int { return len(e.newStrings) + len(e.newBlockers) + len(e.newRows) }

// keyOf returns the key of a request by the strings and blockers that are known. With an
// unknown one it is a key that no row has.
func (e *encoder) keyOf(r *Request) rowKey {
	known := func(s string) uint32 {
		if s == "" {
			return 0
		}
		if n, ok := e.strings[s]; ok {
			return n
		}
		return ^uint32(0)
	}
	k := e.key(r, known)
	if r.Blocker != nil {
		k.blocker = ^uint32(0)
		if n, ok := e.blockers[e.blockerOf(r.Blocker, known)]; ok {
			k.blocker = n
		}
	}
	return k
}

// key returns the key of a request without its blocker. of returns the number of a
// string.
func (e *encoder) key(r *Request, of func(string) uint32) rowKey {
	return rowKey{
		app: of(r.App), slot: of(r.Slot), view: of(r.View), on: of(r.On), peer: of(r.Peer), kind: of(r.Kind),
		function: of(r.Line.Function), file: of(r.Line.File), digest: of(r.Digest), pid: number(r.PID), line: number(r.Line.Line), task: r.Task,
	}
}

// blockerOf returns a blocker with its texts replaced by their numbers, which of returns.
func (e *encoder) blockerOf(b *Blocker, of func(string) uint32) blockerKey {
	return blockerKey{
		app: of(b.App), slot: of(b.Slot), server: of(b.Server), peer: of(b.Peer), view: of(b.View), function: of(b.Line.Function), file: of(b.Line.File),
		pid: number(b.PID), line: number(b.Line.Line), connection: b.Connection,
	}
}

// number returns n as a key has it: at least 0, and at most the largest int32.
func number(n int) uint32 { return uint32(min(max(n, 0), 1<<31-1)) } //nolint:gosec // it is bounded

// define returns the number of a request's row. If the row is new, it is added to the
// tables of the sample.
func (e *encoder) define(r *Request) uint32 {
	k := e.key(r, e.intern)
	if r.Blocker != nil {
		k.blocker = e.defineBlocker(e.blockerOf(r.Blocker, e.intern))
	}
	if n, ok := e.rows[k]; ok {
		return n
	}
	n := uint32(len(e.rows) + 1) //nolint:gosec // bounded by maxTable and one sample
	e.rows[k] = n
	e.counts[2]++
	task := uint64(0)
	if k.task {
		task = 1
	}
	for _, v := range [...]uint64{
		uint64(k.app), uint64(k.slot), uint64(k.pid), task, uint64(k.view), uint64(k.on), uint64(k.peer), uint64(k.kind),
		uint64(k.function), uint64(k.file), uint64(k.line), uint64(k.digest), uint64(k.blocker),
	} {
		e.newRows = binary.AppendUvarint(e.newRows, v)
	}
	return n
}

// defineBlocker returns the number of a blocker, and writes it at its first call. 0 is no
// blocker.
func (e *encoder) defineBlocker(k blockerKey) uint32 {
	if n, ok := e.blockers[k]; ok {
		return n
	}
	n := uint32(len(e.blockers) + 1) //nolint:gosec // there is a row for each
	e.blockers[k] = n
	e.counts[1]++
	for _, v := range [...]uint64{
		uint64(k.app), uint64(k.slot), uint64(k.pid), uint64(k.server), k.connection, uint64(k.peer), uint64(k.view), uint64(k.function), uint64(k.file), uint64(k.line),
	} {
		e.newBlockers = binary.AppendUvarint(e.newBlockers, v)
	}
	return n
}

// intern returns the number of a string; 0 for "". If the string is new, it is added to
// the table of the sample.
func (e *encoder) intern(s string) uint32 {
	if s == "" {
		return 0
	}
	if n, ok := e.strings[s]; ok {
		return n
	}
	s = string([]byte(s))           // which may be a part of something larger
	n := uint32(len(e.strings) + 1) //nolint:gosec // bounded by maxTable and one sample
	e.strings[s] = n
	e.counts[0]++
	e.newStrings = binary.AppendUvarint(e.newStrings, uint64(len(s)))
	e.newStrings = append(e.newStrings, s...)
	return n
}

// fit cuts the texts of a request to the limits of a segment, and makes them valid UTF-8
// without control characters.
func fit(r *Request) {
	for _, s := range [...]*string{&r.App, &r.Slot, &r.View, &r.On, &r.Peer, &r.Kind, &r.Line.Function, &r.Digest} {
		*s = text.Label(*s, maxString)
	}
	fitFile(&r.Line)
	if b := r.Blocker; b != nil {
		for _, s := range [...]*string{&b.App, &b.Slot, &b.Server, &b.Peer, &b.View, &b.Line.Function} {
			*s = text.Label(*s, maxString)
		}
		fitFile(&b.Line)
	}
}

// fitFile cuts the beginning off a path that is too long, because its end identifies the
// file.
func fitFile(f *model.Frame) {
	if n := len(f.File); n > maxString {
		f.File = f.File[n-maxString/2:]
	}
	f.File = text.Label(f.File, maxString)
}
