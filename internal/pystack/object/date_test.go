package object_test

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// A clock that is put back shows an hour twice; Fold distinguishes them.
func TestDateIn(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		date object.Date
		want string
	}{
		{object.Date{Year: 2026, Month: 10, Day: 25, Hour: 2, Minute: 30}, "2026-10-25T00:30:00Z"},
		{object.Date{Year: 2026, Month: 10, Day: 25, Hour: 2, Minute: 30, Fold: true}, "2026-10-25T01:30:00Z"},
		{object.Date{Year: 2026, Month: 10, Day: 25, Hour: 1, Minute: 30, Second: 1}, "2026-10-24T23:30:01Z"},
		{object.Date{Year: 2026, Month: 10, Day: 25, Hour: 3, Minute: 30, Microsecond: 250000}, "2026-10-25T02:30:00.25Z"},
		{object.Date{Year: 2026, Month: 7, Day: 1, Hour: 12}, "2026-07-01T10:00:00Z"},
	} {
		if got := c.date.In(berlin).UTC().Format(time.RFC3339Nano); got != c.want {
			t.Errorf("%+v: %s, want %s", c.date, got, c.want)
		}
	}
}

func TestLayoutOf(t *testing.T) {
	t.Parallel()
	for _, v := range [][2]int{{2, 7}, {3, 7}, {3, 15}, {4, 11}} {
		if _, err := object.LayoutOf(v[0], v[1], false); err == nil {
			t.Errorf("%v has a layout", v)
		}
	}
	for minor := 8; minor <= 14; minor++ {
		if l, err := object.LayoutOf(3, minor, true); err != nil || l.Minor != minor {
			t.Errorf("3.%d: %+v %v", minor, l, err)
		}
	}
}
