package text

import "unicode/utf8"

// MaxName is the longest name of an app in bytes.
const MaxName = 64

// Name returns s as the name of an app: each character other than a letter or
// digit of ASCII or one of . _ : @ - / becomes "_", and what is beyond [MaxName]
// is cut. A clean name is returned as it is; the empty one is clean.
func Name(s string) string {
	if clean(s) {
		return s
	}
	var b [MaxName]byte
	n := 0
	for _, c := range s { // a byte that is not UTF-8 is one character
		if n == len(b) {
			break
		}
		b[n] = nameByte(c)
		n++
	}
	return string(b[:n])
}

// NameBytes returns [Name] of bytes without an allocation: s itself if it needs no
// change, else a part of room.
func NameBytes(s []byte, room *[MaxName]byte) []byte {
	if clean(s) {
		return s
	}
	n := 0
	for n < len(room) && len(s) > 0 {
		c, size := utf8.DecodeRune(s)
		s = s[size:]
		room[n] = nameByte(c)
		n++
	}
	return room[:n:n]
}

// clean reports whether s is fit to be the name of an app, or empty.
func clean[T string | []byte](s T) bool {
	if len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		if nameByte(rune(s[i])) != s[i] {
			return false
		}
	}
	return true
}

// nameByte returns a character as the name of an app has it: itself if the name may have
// it, else "_".
func nameByte(c rune) byte {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '@', c == '-', c == '/':
		return byte(c)
	}
	return '_'
}
