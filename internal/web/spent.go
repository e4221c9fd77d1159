package web

import (
	"fmt"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const viewsUpTo = 10 // views of the table "Where the time goes"

type (
	// spentView is the table "Where the time goes" of an app.
	spentView struct {
		Over   string // "5 min"
		Rows   []spentRow
		Hidden string // "4 more views: 0.3"
	}
	spentRow struct {
		View, Words string
		Sum         shown
		Parts       []part
	}
)

// spentOf returns what the views of an app spend their time on; nil where that is not
// known.
func (w *Web) spentOf(app string) *spentView {
	if w.opts.Spent == nil {
		return nil
	}
	views, over := w.opts.Spent.Views(app)
	if len(views) == 0 {
		return nil
	}
	out := spentView{Over: health.FormatSeconds(over.Round(time.Second).Seconds())}
	for i := range views[:min(len(views), viewsUpTo)] {
		v := &views[i]
		row := spentRow{View: v.View, Sum: shown{formatLoad(v.Sum), health.Exact(v.Sum) + " seconds a second"}}
		row.Parts = spentParts(&v.Seconds, views[0].Sum)
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

// spentParts returns the parts of a bar of which most would be 100 wide.
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
