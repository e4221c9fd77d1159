package request

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// moment returns when a date of the process's local time was, as seen from now.
// The process tells its distances from UTC, in winter and in summer (time.timezone
// and time.altzone): the exporter's own zone decides between them if it has the
// same ones, else that which makes the date the more recent one, but not one to
// come. So a date more than an hour old may be an hour off in another zone.
func (r *Reader) moment(date object.Date, now time.Time) (time.Time, bool) {
	winter, summer, ok := r.offsets()
	if !ok {
		return time.Time{}, false
	}
	if winter != summer && sameZone(r.place, date.Year, winter, summer) {
		return date.In(r.place), true
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

// toCome reports whether a time is later than now: then a clock or a zone is not
// what it is taken for. Clocks are read one after the other.
func toCome(at, now time.Time) bool {
	const early = time.Second
	return at.Sub(now) > early
}

// offsets returns the process's distances from UTC in seconds, to the east.
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

// sameZone reports whether a place has these distances from UTC in a year.
func sameZone(place *time.Location, year, winter, summer int) bool {
	_, january := time.Date(year, time.January, 1, 12, 0, 0, 0, place).Zone()
	_, july := time.Date(year, time.July, 1, 12, 0, 0, 0, place).Zone()
	return january == winter && july == summer || january == summer && july == winter
}
