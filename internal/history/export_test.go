package history

import (
	"fmt"
	"reflect"
	"time"
)

// Decode returns the samples of a segment, as far as it is sound, the bytes that they
// take, and whether there is damage.
func Decode(file []byte) (at []time.Time, requests [][]Request, sound int, damaged bool) {
	s, d, err := parseSegment(1, file)
	if d == nil {
		return nil, nil, 0, err == errDamaged //nolint:errorlint // it is not wrapped
	}
	if skimmed, skimErr := skimSegment(1, file); skimErr == nil && err == nil && !reflect.DeepEqual(skimmed, s) {
		panic(fmt.Sprintf("skimmed: %+v, parsed: %+v", skimmed, s))
	}
	d.each(s.data, time.UnixMilli(0), time.UnixMilli(latestTime), func(t time.Time, d *decoder) {
		var list []Request
		for _, e := range d.entries {
			r := d.rows[e.row]
			r.Seconds = e.seconds
			list = append(list, r)
		}
		at, requests = append(at, t), append(requests, list)
	})
	return at, requests, len(s.data), err == errDamaged //nolint:errorlint // it is not wrapped
}

// Continued appends a sample to a segment as it is after a restart.
func Continued(file []byte, at time.Time, list []Request) []byte {
	s, d, err := parseSegment(1, file)
	if err != nil {
		panic(err)
	}
	out, _ := d.encoder().append(s.data, at, list)
	return out
}

// Encoded returns a segment with samples, and where each record ends.
func Encoded(at []time.Time, samples [][]Request) (file []byte, ends []int) {
	e := newEncoder()
	file = []byte(magic)
	for i, list := range samples {
		for k := range list {
			fit(&list[k])
		}
		file, _ = e.append(file, at[i], list)
		ends = append(ends, len(file))
	}
	return file, ends
}

// Step takes a sample and saves it, as [History.Run] does each second.
func (h *History) Step(now time.Time) {
	h.open(now)
	h.sample(now)
	h.save(now)
}

// Save saves what was recorded.
func (h *History) Save(now time.Time) { h.save(now) }

// Open opens the state directory.
func (h *History) Open(now time.Time) bool { return h.open(now) }

// Fault closes the state directory for a minute, as after an error of it.
func (h *History) Fault(now time.Time, err error) { h.fault(now, err) }

// Close closes the state directory.
func (h *History) Close() { h.store.close() }

// Segments returns the size of each segment in bytes.
func (h *History) Segments() (out []int) {
	for _, s := range h.view() {
		out = append(out, s.length())
	}
	return out
}

// Memory returns how many bytes of the segments are in memory.
func (h *History) Memory() (n int) {
	for _, s := range h.view() {
		n += len(s.data)
	}
	return n
}
