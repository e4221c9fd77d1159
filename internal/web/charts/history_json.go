package charts

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

// Tail is a copy of the points after a point in time.
type Tail struct {
	full  bool // all points, not only new ones
	times []int64
	names []seriesKey
	rows  [][]float32
}

// Since returns the points after that of a Unix time, or all points if there is none of
// that time (0, too old, or of an earlier process). It holds the lock only while it
// copies.
func (h *History) Since(unix int64) Tail {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := min(h.count, Points)
	from, full := h.count-n, true
	for i := h.count; i > h.count-n; i-- {
		if h.times[(i-1)%Points] == unix {
			from, full = i, false
			break
		}
	}
	t := Tail{full: full, times: make([]int64, 0, h.count-from)}
	for i := from; i < h.count; i++ {
		t.times = append(t.times, h.times[i%Points])
	}
	all := make([]float32, 0, len(h.series)*len(t.times))
	for k, s := range h.series {
		start := len(all)
		for i := from; i < h.count; i++ {
			all = append(all, s.values[i%Points])
		}
		t.names = append(t.names, k)
		t.rows = append(t.rows, all[start:len(all):len(all)])
	}
	return t
}

// MarshalJSON returns {"full":…,"t":[…],"apps":{app:{series:[…]}},"host":{…}}.
// A gap is null.
func (t Tail) MarshalJSON() ([]byte, error) {
	order := make([]int, len(t.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareKeys(t.names[a], t.names[b]) })
	var b bytes.Buffer
	b.WriteString(`{"full":` + strconv.FormatBool(t.full) + `,"t":[`)
	for i, x := range t.times {
		comma(&b, i)
		b.WriteString(strconv.FormatInt(x, 10))
	}
	b.WriteString(`],"host":{`)
	split := 0 // series of the host come first
	for split < len(order) && t.names[order[split]].app == "" {
		split++
	}
	if err := t.writeRows(&b, order[:split]); err != nil {
		return nil, err
	}
	b.WriteString(`},"apps":{`)
	if err := t.writeApps(&b, order[split:]); err != nil {
		return nil, err
	}
	b.WriteString("}}")
	return b.Bytes(), nil
}

// writeApps writes the series in an order by app, one object each.
func (t Tail) writeApps(b *bytes.Buffer, order []int) error {
	for start := 0; start < len(order); {
		app := t.names[order[start]].app
		end := start
		for end < len(order) && t.names[order[end]].app == app {
			end++
		}
		comma(b, start)
		if err := writeKey(b, app); err != nil {
			return err
		}
		b.WriteByte('{')
		if err := t.writeRows(b, order[start:end]); err != nil {
			return err
		}
		b.WriteByte('}')
		start = end
	}
	return nil
}

// writeRows writes the series in an order, each under its name.
func (t Tail) writeRows(b *bytes.Buffer, order []int) error {
	for i, at := range order {
		comma(b, i)
		name := t.names[at].what
		if slot := t.names[at].slot; slot != "" {
			name += "/" + slot
		}
		if err := writeKey(b, name); err != nil {
			return err
		}
		writeRow(b, t.rows[at])
	}
	return nil
}

// writeRow writes values as an array, NaN as null.
func writeRow(b *bytes.Buffer, row []float32) {
	b.WriteByte('[')
	for i, v := range row {
		comma(b, i)
		if math.IsNaN(float64(v)) {
			b.WriteString("null")
			continue
		}
		b.Write(strconv.AppendFloat(b.AvailableBuffer(), float64(v), 'g', 6, 32))
	}
	b.WriteByte(']')
}

// writeKey writes a key of an object with its colon.
func writeKey(b *bytes.Buffer, s string) error {
	k, err := json.Marshal(s)
	if err != nil {
		return err
	}
	b.Write(k)
	b.WriteByte(':')
	return nil
}

// comma writes a comma unless i is 0.
func comma(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

// compareKeys orders series by app, quantity and slot, as [slices.SortFunc] expects it.
func compareKeys(a, b seriesKey) int {
	return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.what, b.what), health.CompareSlots(a.slot, b.slot))
}
