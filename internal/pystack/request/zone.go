package request

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// moment returns the time of a date in the process's local time, as seen at now; false if
// its UTC offsets are not known, or if it would be in the future. If the exporter's own zone
// has the same two offsets, that decides between winter and summer; otherwise the one that
// makes the date more recent. So a date more than an hour ago may be an hour off.
func (r *Reader) moment(date object.Date, now time.Time) (time.Time, bool) {
	winter, summer, ok := r.offsets()
	if !ok {
		return time.Time{}, false
	}
	if winter != summer && sameZone(r.place, date.Year, winter, summer) {
		at := date.In(r.place)
		return at, !toCome(at, now)
	}
	best, found := time.Time{}, false
	for _, offset := range [2]int{winter, summer} {
		at := time.Date(date.Year, date.Month, date.Day, date.Hour, date.Minute, date.Second, date.Microsecond*1000, time.UTC).Add(-time.Duration(offset) * time.Second)
		if !toCome(at, now) && (!found || at.After(best)) {
			best, found = at, true
		}
	}
	return best, found
}

// toCome reports whether a time is later than now by more than a second: then the assumed
// clock or zone is wrong. Clocks are read one after the other.
func toCome(at, now time.Time) bool {
	const early = time.Second
	return at.Sub(now) > early
}

// offsets returns the process's offsets from UTC in seconds, positive to the east, the
// same twice if it has no summer time; ok is false if they cannot be read.
func (r *Reader) offsets() (winter, summer int, ok bool) {
	interpreter, ok := r.objects.Word(r.interpreters)
	if !ok {
		return 0, 0, false
	}
	module, ok := r.objects.Module(interpreter, r.keys.timeModule)
	if !ok {
		return 0, 0, false
	}
	number := func(k *object.Key) int {
		const most = 26 * 3600 // seconds, beyond any zone
		value, found := r.objects.ModuleAttribute(module, k)
		n, isInt := r.objects.Int(value)
		ok = ok && found && isInt && n > -most && n < most
		return int(n)
	}
	winter = -number(r.keys.timezone)
	summer = winter
	if number(r.keys.daylight) != 0 {
		summer = -number(r.keys.altzone)
	}
	return winter, summer, ok
}

// sameZone reports whether the UTC offsets of a location on 1 January and 1 July of a
// year are winter and summer, in either order.
func sameZone(place *time.Location, year, winter, summer int) bool {
	_, january := time.Date(year, time.January, 1, 12, 0, 0, 0, place).Zone()
	_, july := time.Date(year, time.July, 1, 12, 0, 0, 0, place).Zone()
	return january == winter && july == summer || january == summer && july == winter
}
