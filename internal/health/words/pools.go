package words

import (
	"fmt"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Taken returns the number of connections of a pool that are not idle.
func Taken(p *model.Pool) float64 { return p.InUse + p.InTransaction + p.Leaked }

// PoolUse returns the utilization of a pool, which must be known, e.g. "87 % (13 of 15)".
func PoolUse(p *model.Pool) string {
	if p.Capacity == nil {
		return text.Percent(*p.Utilization)
	}
	return fmt.Sprintf("%s (%s of %s)", text.Percent(*p.Utilization), text.Count(Taken(p)), text.Count(*p.Capacity))
}

// Site returns where in the app a connection was checked out, e.g. "/report (app.py:42)",
// or "refresh in app.py:42" without a route.
func Site(s *model.PoolSite) string {
	line := s.File + ":" + strconv.Itoa(s.Line)
	if s.Route == "" {
		return s.Function + " in " + line
	}
	return s.Route + " (" + line + ")"
}

// CheckedOut returns for how long the oldest connection of a pool has been checked out
// and where, to follow a sentence; "" if the app reports neither.
func CheckedOut(p *model.Pool) string {
	if len(p.Sites) > 0 {
		return ": checked out for up to " + text.Seconds(p.Sites[0].Seconds) + " by " + Site(&p.Sites[0])
	}
	if p.OldestCheckout == nil {
		return ""
	}
	return ": checked out for up to " + text.Seconds(*p.OldestCheckout)
}

// NotReturned returns two sentences about the leaked connections of a pool that its app
// reports: how many there are, and what to do.
func NotReturned(p *model.Pool) string {
	line := text.Plural(p.Leaked, "connection has", "connections have") + " not been returned"
	if p.OldestCheckout != nil {
		line += ", the oldest for " + text.Seconds(*p.OldestCheckout)
	}
	if len(p.Sites) == 0 {
		return line + ". Close each connection or session at the end of its request."
	}
	s := &p.Sites[0]
	from := s.Route
	if from == "" {
		from = s.Function
	}
	return line + fmt.Sprintf(". %s checked out %s of them at line %d of %s: close the connection or session there, also after an error.", from, text.Count(s.Connections), s.Line, s.File)
}

// Runs returns "runs a statement" for 1, else "run a statement".
func Runs(n float64) string {
	if n == 1 {
		return "runs a statement"
	}
	return "run a statement"
}

// Sleeps returns "sleeps" for 1, else "sleep".
func Sleeps(n float64) string {
	if n == 1 {
		return "sleeps"
	}
	return "sleep"
}
