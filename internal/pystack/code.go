package pystack

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/pystack/layout"
	"github.com/resp-exporter/resp-exporter/internal/pystack/lines"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

const (
	maxCodes  = 4096    // code objects of a process that are known
	maxTables = 2 << 20 // bytes of their line tables
	maxTable  = 128 << 10
	maxString = 300 // characters
	maxTypes  = 4   // code types: interpreters have one
	// maxCompared is how many bytes of a line table are compared.
	maxCompared = 1 << 10
)

// codes is the code objects of a process that are known.
type codes struct {
	known  map[uint64]*Code
	texts  map[string]string
	tables int    // bytes
	loaded uint64 // how many were read
	types  [maxTypes]uint64
	count  int
}

// learn reports whether the type at an address is that of code objects, and remembers such
// a type. It is false too for a new one if four are known.
func (c *codes) learn(p *Process, typ uint64) (bool, error) {
	if slices.Contains(c.types[:c.count], typ) {
		return true, nil
	}
	if c.count == maxTypes {
		return false, nil
	}
	ok, err := p.typeIs(typ, "code")
	if err != nil || !ok {
		return false, err
	}
	c.types[c.count] = typ
	c.count++
	return true, nil
}

// resolve sets the frames of s, at most [MaxFrames]. Each code object is read again and
// compared: the address of one that is gone may be another's. errTorn: the frames do not
// hold together.
func (p *Process) resolve(s *Stack, frames []raw) error {
	s.Truncated = len(frames) > MaxFrames
	if s.Truncated {
		frames = frames[:MaxFrames]
		p.stats.Truncated++
	}
	s.Frames = slices.Grow(s.Frames[:0], len(frames))[:len(frames)]
	for i, f := range frames {
		s.Frames[i] = Frame{Addr: f.addr, Code: p.codes.known[f.code], code: f.code, instr: f.instr}
	}
	for at := 0; at < len(s.Frames); {
		n, err := p.prove(s.Frames[at:])
		if err != nil {
			return err
		}
		at += n
	}
	for i := range s.Frames {
		f := &s.Frames[i]
		line, ok := f.Code.line(&p.layout, f.instr)
		if !ok {
			return errTorn
		}
		f.Line = line
	}
	return nil
}

// maxProofs is how many code objects are compared in one call: each has a part
// for its fields and one for its line table.
const maxProofs = memory.MaxParts / 2

// prove compares what is known of the frames' code objects with what is there, in one
// call, and reads those that are new or have changed. It returns for how many of the first
// frames it did that: all, or 32.
func (p *Process) prove(frames []Frame) (done int, err error) {
	frames = frames[:min(len(frames), maxProofs)]
	p.ask(frames)
	intact := p.memory.Read(p.walker.parts...) == nil
	rest := p.walker.proofs
	for i := range frames {
		f := &frames[i]
		if j := repeated(frames, i); j >= 0 {
			f.Code = frames[j].Code
			continue
		}
		if c := f.Code; c != nil {
			n := len(c.proof)
			proof, table := rest[:n], rest[n:n+len(c.compared)]
			rest = rest[n+len(c.compared):]
			if intact && c.same(&p.layout, proof, table) {
				continue
			}
		}
		if f.Code, err = p.load(f.code); err != nil {
			return 0, err
		}
	}
	return len(frames), nil
}

// ask sets the parts of memory that the walker reads to prove the known code objects, in
// the order of the frames.
func (p *Process) ask(frames []Frame) {
	w, total := &p.walker, 0
	for i := range frames {
		if c := frames[i].Code; c != nil && repeated(frames, i) < 0 {
			total += len(c.proof) + len(c.compared)
		}
	}
	w.proofs, w.parts = grown(w.proofs, total), w.parts[:0]
	rest := w.proofs
	for i := range frames {
		c := frames[i].Code
		if c == nil || repeated(frames, i) >= 0 {
			continue
		}
		n := len(c.proof)
		w.parts = append(w.parts, memory.Part{Addr: c.Addr + uint64(p.layout.Object.Type), Into: rest[:n]})
		if rest = rest[n:]; len(c.compared) > 0 {
			w.parts = append(w.parts, memory.Part{Addr: c.tabled, Into: rest[:len(c.compared)]})
			rest = rest[len(c.compared):]
		}
	}
}

// repeated returns the index of a frame before frame i that has the same code; -1 if
// there is none.
func repeated(frames []Frame, i int) int {
	for j := range frames[:i] {
		if frames[j].code == frames[i].code {
			return j
		}
	}
	return -1
}

// same reports whether a code object is still the one that is known, by its bytes,
// without its warm-up counter. Of code of a file that is not .py it compares the first
// KiB of the line table too: that may have been made at run time.
func (c *Code) same(l *layout.Layout, proof, table []byte) bool {
	mask(l, proof)
	return bytes.Equal(proof, c.proof) && bytes.Equal(table, c.compared)
}

// mask clears, in the bytes of a code object from its type on, those that change while
// the code runs.
func mask(l *layout.Layout, proof []byte) {
	if l.Code.Warmup >= 0 {
		at := l.Code.Warmup - l.Object.Type
		clear(proof[at : at+2])
	}
}

// load reads a code object anew, remembers it and returns it; when too many are remembered,
// or too much of their line tables, all others are forgotten. errTorn: there is no valid
// one.
func (p *Process) load(addr uint64) (*Code, error) {
	delete(p.codes.known, addr)
	l := &p.layout.Code
	b := make([]byte, l.Size)
	if err := p.reader.Bytes(addr, b); err != nil {
		return nil, err
	}
	ok, err := p.codes.learn(p, memory.Uint64At(b, p.layout.Object.Type))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errTorn
	}
	c := &Code{Addr: addr, first: int(int32(memory.Uint32At(b, l.FirstLine))), proof: b[p.layout.Object.Type:]}
	if err := p.loadTexts(c, b); err != nil {
		return nil, err
	}
	if err := p.loadTable(c, b); err != nil {
		return nil, err
	}
	mask(&p.layout, c.proof)
	if !strings.HasSuffix(c.File, ".py") {
		c.compared = c.table[:min(len(c.table), maxCompared)]
	}
	if len(p.codes.known) >= maxCodes || p.codes.tables+len(c.table) > maxTables {
		p.stats.CodesDropped += uint64(len(p.codes.known))
		clear(p.codes.known)
		p.codes.texts, p.codes.tables = nil, 0
	}
	p.codes.tables += len(c.table)
	p.codes.loaded++
	p.codes.known[addr] = c
	return c, nil
}

// loadTexts sets the file, the names and whether it is the app's own of a code object; b
// are its bytes. Before 3.11, without a qualified name, Function is the plain name.
func (p *Process) loadTexts(c *Code, b []byte) error {
	l := &p.layout.Code
	var err error
	if c.File, err = p.text(memory.Uint64At(b, l.Filename)); err != nil {
		return err
	}
	if c.Name, err = p.text(memory.Uint64At(b, l.Name)); err != nil {
		return err
	}
	c.Function = c.Name
	if l.QualName >= 0 {
		if c.Function, err = p.text(memory.Uint64At(b, l.QualName)); err != nil {
			return err
		}
	}
	c.Own = own(c.File)
	return nil
}

// loadTable sets the line table and the size of the instructions of a code object; b are
// its bytes. A table that is too large is left out, without an error. errTorn: the size is
// not possible.
func (p *Process) loadTable(c *Code, b []byte) error {
	l := &p.layout
	c.tabled = memory.Uint64At(b, l.Code.Table) + uint64(l.Object.BytesData)
	size, err := p.reader.Uint64(c.tabled - uint64(l.Object.BytesData-l.Object.BytesSize))
	if err != nil {
		return err
	}
	switch {
	case size > memory.MaxLength:
		return errTorn
	case size > maxTable:
		p.stats.LongTables++
	default:
		c.table = make([]byte, size)
		if err := p.reader.Bytes(c.tabled, c.table); err != nil {
			return err
		}
	}
	if l.Lines == layout.Locations {
		n, err := p.reader.Uint64(c.Addr + uint64(l.Object.VarSize))
		c.size = int(min(n, memory.MaxLength)) * 2
		return err
	}
	n, err := p.reader.Uint64(memory.Uint64At(b, l.Code.Bytes) + uint64(l.Object.BytesSize))
	c.size = int(min(n, 2*memory.MaxLength))
	return err
}

// line returns the line of an instruction, the first of the code if that has not begun, and
// 0 if the table has none or was not read (before 3.10 the first); ok is false for an
// instruction that is not in the code, and for a table that makes no sense.
func (c *Code) line(l *layout.Layout, instr uint64) (line int, ok bool) {
	offset := int64(instr)
	if l.Frame.Unit == 0 {
		offset = int64(instr - (c.Addr + uint64(l.Code.Bytes)))
	}
	if offset < -2 || offset >= int64(c.size) {
		return 0, false
	}
	if offset < 0 { // nothing of it has run yet
		return c.first, true
	}
	for _, r := range c.recent {
		if r.line != 0 && r.offset == int(offset) {
			return r.line, true
		}
	}
	if len(c.table) == 0 {
		if l.Lines == layout.Lnotab {
			return c.first, true
		}
		return 0, true
	}
	switch l.Lines {
	case layout.Lnotab:
		line, ok = lines.Lnotab(c.table, c.first, int(offset))
	case layout.LineTable:
		line, ok = lines.LineTable(c.table, c.first, int(offset))
	case layout.Locations:
		line, ok = lines.Location(c.table, c.first, int(offset))
	}
	if ok && line != 0 {
		c.recent[c.next] = located{int(offset), line}
		c.next = (c.next + 1) % len(c.recent)
	}
	return line, ok
}

// text returns the text of a str object, the last 300 characters of a longer one: the end
// of a path is more specific. errTorn: it is no compact str, or claims more than
// [memory.MaxLength] characters.
func (p *Process) text(addr uint64) (string, error) {
	l := &p.layout.Object
	head := p.walker.single[:l.StrCompact]
	if err := p.reader.Bytes(addr, head); err != nil {
		return "", err
	}
	length, state := memory.Uint64At(head, l.StrLength), memory.Uint32At(head, l.StrState)
	const compact, ascii = 1 << 5, 1 << 6
	width := uint64(state >> 2 & 7)
	if state&compact == 0 || width != 1 && width != 2 && width != 4 || length > memory.MaxLength {
		return "", errTorn
	}
	data := addr + uint64(l.StrCompact)
	if state&ascii != 0 {
		data = addr + uint64(l.StrASCII)
	}
	cut := uint64(0)
	if length > maxString {
		p.stats.LongStrings++
		cut, length = length-maxString, maxString
	}
	var room [4 * maxString]byte
	b := room[:length*width]
	if length == 0 {
		return "", nil
	}
	if err := p.reader.Bytes(data+cut*width, b); err != nil {
		return "", err
	}
	return p.codes.intern(decode(b, int(width))), nil
}

// decode returns the text of characters of width bytes each: 1, 2 or 4. A character that
// does not exist becomes U+FFFD.
func decode(b []byte, width int) string {
	var s strings.Builder
	for ; len(b) >= width; b = b[width:] {
		r := rune(b[0])
		switch width {
		case 2:
			r |= rune(b[1]) << 8
		case 4:
			r = rune(memory.Uint32At(b, 0))
		}
		if !utf8.ValidRune(r) {
			r = utf8.RuneError
		}
		s.WriteRune(r)
	}
	return s.String()
}

// intern returns a text equal to s of which only one copy is kept; s itself once 8,192
// texts are.
func (c *codes) intern(s string) string {
	if known, ok := c.texts[s]; ok {
		return known
	}
	if c.texts == nil {
		c.texts = make(map[string]string)
	}
	if len(c.texts) < 2*maxCodes {
		c.texts[s] = s
	}
	return s
}
