package past

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

const viewsUpTo = 10 // views of the table "Where the time goes"

type (
	// Spent is the table "Where the time goes" of an app.
	Spent struct {
		Over   string // "5 min"
		Rows   []spentRow
		Hidden string // "4 more views: 0.3"
	}
	spentRow struct {
		View, Words string
		Sum         display.Shown
		Parts       []part
	}
)

// Spent returns what the views of an app spend their time on, for the page: the first
// viewsUpTo, without those below leastShown (but for the first), and the sum of the others.
// nil: it is not known, or none spent any.
func (v *Views) Spent(app string) *Spent {
	if v.spent == nil {
		return nil
	}
	views, over := v.spent.Views(app)
	if len(views) == 0 {
		return nil
	}
	unit := time.Second
	if over >= time.Minute {
		unit = time.Minute
	}
	out := Spent{Over: health.FormatSeconds(over.Round(unit).Seconds())}
	for i := range views[:min(len(views), viewsUpTo)] {
		x := &views[i]
		if i > 0 && x.Sum < leastShown { // and so are those that follow
			break
		}
		row := spentRow{View: x.View, Sum: display.Shown{Text: formatLoad(x.Sum), Exact: health.Exact(x.Sum) + " seconds a second"}}
		row.Parts = spentParts(&x.Seconds, views[0].Sum)
		row.Words = partWords(row.Parts, formatLoad, 3)
		out.Rows = append(out.Rows, row)
	}
	if rest := views[len(out.Rows):]; len(rest) > 0 {
		sum := 0.0
		for i := range rest {
			sum += rest[i].Sum
		}
		out.Hidden = "and " + text.Plural(float64(len(rest)), "more view", "more views") + ": " + formatLoad(sum)
	}
	return &out
}

// spentParts returns the parts of a view's bar, whose width is 100 for the time most, in
// the order of ledger.All; those below a thousandth of most are left out.
func spentParts(s *ledger.Seconds, most float64) []part {
	var out []part
	from := 0.0
	for _, on := range ledger.All() {
		v := s[on]
		if v <= 0 || v < most/1000 {
			continue
		}
		size := 100 * v / most
		out = append(out, part{Class: onClass(on.String()), Word: onWord(on.String()), From: fmt.Sprintf("%.1f", from), Size: fmt.Sprintf("%.1f", size), Value: v})
		from += size
	}
	return out
}
