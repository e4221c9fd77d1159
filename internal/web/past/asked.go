package past

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Asked is what the reader of the page asked for in its address.
type Asked struct {
	App string    // to be shown whole; "": none
	At  time.Time // the moment of the past to be shown; zero: none
}

const maxAskedApp = 300 // bytes of a name

// AskedOf returns the parameters app and at of an address. at is a time of RFC 3339, or
// 15:04 or 15:04:05 in UTC, which means the last time it was that; zero: it is not given.
// Anything else, and a name of more than maxAskedApp bytes, is an error, a text for the
// client.
func AskedOf(q url.Values, now time.Time) (Asked, error) {
	a := Asked{App: q.Get("app")}
	if len(a.App) > maxAskedApp {
		return Asked{}, fmt.Errorf("app must have %d bytes at most", maxAskedApp)
	}
	at := q.Get("at")
	if at == "" {
		return a, nil
	}
	for _, layout := range [...]string{time.RFC3339, "15:04:05", "15:04"} {
		t, err := time.Parse(layout, at)
		if err != nil {
			continue
		}
		if layout != time.RFC3339 {
			y, m, d := now.UTC().Date()
			t = time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
		}
		a.At = t.UTC()
		return a, nil
	}
	return Asked{}, errors.New("at must be a time such as 09:41 (UTC) or 2006-01-02T09:41:00Z, not " + text.Clip(at, 40))
}
