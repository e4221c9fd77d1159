package object

import (
	"encoding/binary"
	"unicode/utf8"
)

// Bits of the state of a str.
const (
	stateKind    = 7 << 2 // bytes of a character
	stateCompact = 1 << 5
	stateASCII   = 1 << 6
)

// chars is where the characters of a str are.
type chars struct {
	addr  uint64
	n     int // characters, at most MaxText
	width int // bytes of each
	ascii bool
	cut   bool // there are more
}

// chars returns where the characters of a str are and how many, 300 at most, see chars.cut;
// obj is known to be a str. false: its head cannot be read or makes no sense; the
// characters themselves are not read.
func (r *Reader) chars(obj uint64) (chars, bool) {
	n, ok := r.Field(obj, 16)
	state, ok2 := r.Field(obj, 32)
	if !ok || !ok2 {
		return chars{}, false
	}
	if n > 1<<46 {
		return chars{}, r.alien()
	}
	c := chars{width: int(state & stateKind >> 2), ascii: state&stateASCII != 0}
	if c.width != 1 && c.width != 2 && c.width != 4 || c.ascii && c.width != 1 {
		return chars{}, r.alien()
	}
	if n > MaxText {
		r.Counts.Long++
		n, c.cut = MaxText, true
	}
	c.n = int(n)
	switch {
	case state&stateCompact == 0:
		c.addr, ok = r.Field(obj, r.layout.strWide)
	case c.ascii:
		c.addr = obj + r.layout.shift + r.layout.strASCII
	default:
		c.addr = obj + r.layout.shift + r.layout.strWide
	}
	return c, ok
}

// Str appends the text of a str to dst in UTF-8, at most 300 characters of it, and returns
// it; dst as it was, and false, if obj is no str or cannot be read. Half a surrogate pair,
// which UTF-8 does not have, becomes U+FFFD.
func (r *Reader) Str(dst []byte, obj uint64) ([]byte, bool) {
	if !r.Is(obj, Str) {
		return dst, false
	}
	c, ok := r.chars(obj)
	if !ok {
		return dst, false
	}
	var raw [MaxText * 4]byte
	if !r.Read(c.addr, raw[:c.n*c.width]) {
		return dst, c.n == 0
	}
	for i := range c.n {
		dst = utf8.AppendRune(dst, char(raw[i*c.width:], c.width))
	}
	return dst, true
}

// char returns the first character of a str's bytes, of which each character has width:
// half a surrogate pair as it is, U+FFFD for a number above U+10FFFF.
func char(raw []byte, width int) rune {
	switch width {
	case 1:
		return rune(raw[0])
	case 2:
		return rune(binary.LittleEndian.Uint16(raw))
	}
	if c := binary.LittleEndian.Uint32(raw); c <= utf8.MaxRune {
		return rune(c)
	}
	return utf8.RuneError
}

// Latin1 appends the characters of a str as bytes to dst, at most 300, and returns it: WSGI
// passes bytes as characters of Latin-1 (PEP 3333). false, and dst as it was: obj is no
// str, has other characters or cannot be read.
func (r *Reader) Latin1(dst []byte, obj uint64) ([]byte, bool) {
	if !r.Is(obj, Str) {
		return dst, false
	}
	c, ok := r.chars(obj)
	if !ok {
		return dst, false
	}
	if c.width != 1 {
		return dst, r.alien()
	}
	return r.raw(dst, c.addr, c.n)
}

// raw appends n bytes at an address, at most 300, to dst and returns it; false, and dst as
// it was, if they cannot be read.
func (r *Reader) raw(dst []byte, addr uint64, n int) ([]byte, bool) {
	if n == 0 {
		return dst, true
	}
	var room [MaxText]byte
	if !r.Read(addr, room[:n]) {
		return dst, false
	}
	return append(dst, room[:n]...), true
}

// Bytes appends the content of a bytes object to dst, at most 300 bytes of it, and
// returns it; dst as it was, and false, if obj is none or cannot be read.
func (r *Reader) Bytes(dst []byte, obj uint64) ([]byte, bool) {
	if !r.Is(obj, Bytes) {
		return dst, false
	}
	n, ok := r.Field(obj, 16)
	if !ok {
		return dst, false
	}
	if n > 1<<46 {
		return dst, r.alien()
	}
	if n > MaxText {
		r.Counts.Long++
		n = MaxText
	}
	return r.raw(dst, obj+r.layout.shift+32, int(n))
}

// Equals reports whether an object is a str of exactly these characters, at most 300, all
// of ASCII. It is false for any other object; a longer str and what cannot be read are
// counted.
func (r *Reader) Equals(obj uint64, s string) bool {
	t, ok := r.TypeOf(obj)
	if !ok || t.Kind != Str || len(s) > MaxText {
		return false
	}
	c, ok := r.chars(obj)
	if !ok || c.width != 1 || c.n != len(s) || c.cut {
		return false
	}
	var room [MaxText]byte
	return c.n == 0 || r.Read(c.addr, room[:c.n]) && string(room[:c.n]) == s
}
