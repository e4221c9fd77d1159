package statsd

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// cut returns b before and after the first sep; b, nil and false if it has none. Appending
// to before does not overwrite after.
func cut(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i:i], b[i+1:], true
	}
	return b, nil, false
}

// hasPrefix reports whether b begins with p.
func hasPrefix(b []byte, p string) bool {
	return len(b) >= len(p) && string(b[:len(p)]) == p
}

// isDigit reports whether c is a decimal digit.
func isDigit(c byte) bool { return c-'0' < 10 }

// isType reports whether b is a type of StatsD or DogStatsD.
func isType(b []byte) bool {
	switch string(b) {
	case "c", "ms", "g", "h", "d", "s":
		return true
	}
	return false
}

// isTime reports whether b is a type whose values are times.
func isTime(b []byte) bool {
	switch string(b) {
	case "ms", "h", "d":
		return true
	}
	return false
}

// unknownName returns [ErrUnknown] for the name of an unknown metric, and [ErrShape] for
// one that is no UTF-8, or has a blank, a control character or "|".
func unknownName(name []byte) error {
	if !utf8.Valid(name) {
		return ErrShape
	}
	for _, c := range name {
		if c <= ' ' || c == 0x7f || c == '|' {
			return ErrShape
		}
	}
	return ErrUnknown
}

// number returns a decimal that is not negative: 12, 12.5, .5, 1e-05; 0 for one that is too
// small for a float64; false for one that is too large, and for anything else. Unlike
// strconv.ParseFloat it needs no string, accepts no hexadecimal, underscores or infinities,
// and may be wrong in the last bit.
func number(b []byte) (float64, bool) {
	mant, exp, i, ok := mantissa(b)
	if !ok {
		return 0, false
	}
	if i < len(b) {
		e, ok := exponent(b[i:])
		if !ok {
			return 0, false
		}
		exp += e
	}
	v := float64(mant)
	switch {
	case exp == 0 || mant == 0:
	case exp > 0 && exp <= 22:
		v *= math.Pow10(exp)
	case exp < 0 && exp >= -22:
		v /= math.Pow10(-exp)
	case exp < -300: // in two steps: 10^-exp alone would be no number
		v = v / 1e300 / math.Pow10(min(-exp-300, 300))
	default:
		v *= math.Pow10(min(exp, 309))
	}
	return v, !math.IsInf(v, 0)
}

// mantissa returns the digits, with at most one point, at the start of b. The value is
// mant times ten to the power of exp; i is the number of bytes read. It keeps 19 digits,
// more than a float64 has. ok is false if there is no digit.
func mantissa(b []byte) (mant uint64, exp, i int, ok bool) {
	point := false
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if !isDigit(c) {
			break
		}
		ok = true
		switch {
		case mant < 1e18:
			mant = mant*10 + uint64(c-'0')
			if point {
				exp--
			}
		case !point:
			exp++
		}
	}
	return mant, exp, i, ok
}

// exponent returns the number of e5, E+5 or e-5; false for anything else. Large exponents
// are limited to 1<<20.
func exponent(b []byte) (int, bool) {
	if b[0]|0x20 != 'e' {
		return 0, false
	}
	b = b[1:]
	sign := 1
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		if b[0] == '-' {
			sign = -1
		}
		b = b[1:]
	}
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = min(n*10+int(c-'0'), 1<<20)
	}
	return sign * n, len(b) > 0
}
