// Package lines finds the line of source of an instruction in the tables of
// CPython's code objects: co_lnotab up to 3.9, co_linetable of 3.10 (PEP 626) and
// the location table of 3.11 and newer (PEP 657). A table is a stranger's: it may
// hold anything.
package lines

// maxLine bounds a line number: a table that leads beyond it is no table.
const maxLine = 1 << 24

// Lnotab returns the line of the instruction at an offset in bytes by co_lnotab, pairs of
// a step of the offset and a signed one of the line; first is the line at which they
// begin. For an offset behind the end it is the last line. ok is false for a line that no
// file has.
func Lnotab(table []byte, first, offset int) (line int, ok bool) {
	line = first
	at := 0
	for i := 0; i+1 < len(table); i += 2 {
		at += int(table[i])
		if at > offset {
			break
		}
		line += int(int8(table[i+1]))
	}
	return checked(line)
}

// LineTable returns the line of the instruction at an offset in bytes by the table of
// 3.10: pairs of the length of a range and a signed step of the line; −128 is a range
// without a line. The line is 0 for such a range and for an offset behind the end, first
// for a negative offset; ok is false for a line that no file has.
func LineTable(table []byte, first, offset int) (line int, ok bool) {
	line = first
	if offset < 0 {
		return checked(line)
	}
	at := 0
	for i := 0; i+1 < len(table); i += 2 {
		at += int(table[i])
		step := int(int8(table[i+1]))
		if step != -128 {
			line += step
		}
		if at > offset {
			if step == -128 {
				return 0, true
			}
			return checked(line)
		}
	}
	return 0, true
}

// The kinds of entries of the location table.
const (
	oneLine0  = 10 // to 12: the line's step is the kind less 10
	oneLine2  = 12
	noColumns = 13
	long      = 14
	noLine    = 15
)

// Location returns the line of the instruction at an offset in bytes by the location table
// of 3.11 and newer. The line is 0 for an instruction without one and for an offset behind
// the end, first for a negative offset; ok is false for a table that makes no sense.
//
// Each entry begins with a byte whose highest bit is set: 4 bits of kind, 3 bits of length
// less one in units of two bytes. What follows has that bit clear.
func Location(table []byte, first, offset int) (line int, ok bool) {
	line = first
	if offset < 0 {
		return checked(line)
	}
	at := 0
	for i := 0; i < len(table); {
		head := table[i]
		if head&0x80 == 0 {
			return 0, false
		}
		kind := int(head >> 3 & 15)
		step, n, ok := lineStep(kind, table[i+1:])
		if !ok {
			return 0, false
		}
		line += step
		i += 1 + n
		if at += 2 * (int(head&7) + 1); at > offset {
			if kind == noLine {
				return 0, true
			}
			return checked(line)
		}
		for i < len(table) && table[i]&0x80 == 0 { // the columns
			i++
		}
	}
	return 0, true
}

// lineStep returns by how many lines an entry of a kind advances, 0 for one without a
// line, with its operand at the beginning of b, and how many bytes of b the operand has.
// ok is false if the operand does not end within b.
func lineStep(kind int, b []byte) (step, n int, ok bool) {
	switch {
	case kind == noColumns || kind == long:
		step, n = signed(b)
		return step, n, n > 0
	case kind >= oneLine0 && kind <= oneLine2:
		return kind - oneLine0, 0, true
	default:
		return 0, 0, true
	}
}

// signed returns a number of 6 bits per byte, the lowest first, whose lowest bit is the
// sign, and its length in bytes; 0 bytes if it does not end within b and six bytes.
func signed(b []byte) (v, n int) {
	u := 0
	for n < len(b) && n < 6 {
		c := b[n]
		if c&0x80 != 0 {
			return 0, 0
		}
		u |= int(c&63) << (6 * n)
		n++
		if c&64 == 0 {
			if u&1 != 0 {
				return -(u >> 1), n
			}
			return u >> 1, n
		}
	}
	return 0, 0
}

// checked returns the line; 0 and false if it is negative or above 2^24.
func checked(line int) (int, bool) {
	if line < 0 || line > maxLine {
		return 0, false
	}
	return line, true
}
