package object

import (
	"encoding/binary"
	"math"
	"time"
)

const (
	digitBits  = 30
	digitMost  = 3 // digits that an int64 has at most
	digitsSane = 1 << 24
)

// Int returns the value of an int, or of a bool as 0 or 1; false if obj is neither, an
// int64 cannot hold it or it cannot be read.
func (r *Reader) Int(obj uint64) (int64, bool) {
	t, ok := r.TypeOf(obj)
	if !ok {
		return 0, false
	}
	if t.Kind != Int && t.Kind != Bool {
		return 0, r.alien()
	}
	size, ok := r.Field(obj, 16)
	if !ok {
		return 0, false
	}
	n, negative := size>>3, size&3 == 2
	if !r.layout.longTag {
		negative = int64(size) < 0
		if n = size; negative {
			n = -n
		}
	} else if size&3 == 1 {
		n = 0
	}
	if n > digitsSane {
		return 0, r.alien()
	}
	if n > digitMost {
		r.Counts.Long++
		return 0, false
	}
	var raw [4 * digitMost]byte
	if n > 0 && !r.Read(obj+r.layout.shift+24, raw[:4*n]) {
		return 0, false
	}
	var high, low uint64
	for i := int(n) - 1; i >= 0; i-- {
		digit := binary.LittleEndian.Uint32(raw[4*i:])
		if digit >= 1<<digitBits {
			return 0, r.alien()
		}
		high = high<<digitBits | low>>(64-digitBits)
		low = low<<digitBits | uint64(digit)
	}
	return r.signed(high, low, negative)
}

// signed returns a number of 128 bits as a signed one of 64; false if that cannot hold
// it.
func (r *Reader) signed(high, low uint64, negative bool) (int64, bool) {
	most := uint64(math.MaxInt64)
	if negative {
		most++
	}
	if high != 0 || low > most {
		r.Counts.Long++
		return 0, false
	}
	if negative {
		return int64(-low), true
	}
	return int64(low), true
}

// Float returns the value of a float; false if obj is no float or cannot be read.
func (r *Reader) Float(obj uint64) (float64, bool) {
	if !r.Is(obj, Float) {
		return 0, false
	}
	w, ok := r.Field(obj, 16)
	return math.Float64frombits(w), ok
}

// Bool returns the value of a bool; ok is false if obj is no bool or cannot be read.
func (r *Reader) Bool(obj uint64) (value, ok bool) {
	if !r.Is(obj, Bool) {
		return false, false
	}
	n, ok := r.Int(obj)
	return n != 0, ok
}

// IsNone reports whether an object is None; false too if it cannot be read.
func (r *Reader) IsNone(obj uint64) bool {
	t, ok := r.TypeOf(obj)
	return ok && t.Kind == None
}

// Date is a datetime as it is written, without its zone.
type Date struct {
	Year         int
	Month        time.Month
	Day          int
	Hour, Minute int
	Second       int
	Microsecond  int
	Fold         bool // the second of two times that a clock shows
	Zone         bool // it has a zone, which is not read
}

// In returns the moment of a date without a zone, in a location. Where the clock was set
// back by an hour and shows the time twice, it is the first moment, or the second if Fold
// is set; where it was set by another step it is what [time.Date] returns.
func (d Date) In(loc *time.Location) time.Time {
	t := time.Date(d.Year, d.Month, d.Day, d.Hour, d.Minute, d.Second, d.Microsecond*1000, loc)
	shift := time.Hour
	if !d.Fold {
		shift = -shift
	}
	if other := t.Add(shift); other.Hour() == t.Hour() && other.Day() == t.Day() {
		return other
	}
	return t
}

// Datetime returns the value of a datetime, without its zone; false if obj is none or
// cannot be read, or has a field that no clock shows.
func (r *Reader) Datetime(obj uint64) (Date, bool) {
	if !r.Is(obj, Datetime) {
		return Date{}, false
	}
	// hastzinfo, 10 bytes of date and time, fold (Include/datetime.h)
	var raw [12]byte
	if !r.Read(obj+r.layout.shift+24, raw[:]) {
		return Date{}, false
	}
	d := Date{
		Year: int(binary.BigEndian.Uint16(raw[1:])), Month: time.Month(raw[3]), Day: int(raw[4]),
		Hour: int(raw[5]), Minute: int(raw[6]), Second: int(raw[7]),
		Microsecond: int(raw[8])<<16 | int(raw[9])<<8 | int(raw[10]),
		Fold:        raw[11] == 1, Zone: raw[0] == 1,
	}
	if raw[0] > 1 || raw[11] > 1 || d.Year < 1 || d.Year > 9999 || d.Month < 1 || d.Month > 12 || d.Day < 1 || d.Day > 31 ||
		d.Hour > 23 || d.Minute > 59 || d.Second > 59 || d.Microsecond > 999999 {
		return Date{}, r.alien()
	}
	return d, true
}
