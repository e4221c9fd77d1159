package web

import (
	"cmp"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/diagnosis/cause"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/web/display"
	"github.com/resp-exporter/resp-exporter/internal/web/past"
)

const (
	fewApps    = 2 // that many are all shown whole
	openUpTo   = 2 // of many apps the sickest are shown whole, and the one that was asked for
	linesUpTo  = 200
	bannerUpTo = 5 // links to apps in the banner
)

type (
	// linesView is the apps that are shown in one line each.
	linesView struct {
		Title  string
		Lines  []lineView
		Hidden int
	}
	lineView struct {
		Name     string
		Level    display.Level
		Word     string
		Busy     string
		Why      string // what is wrong; "": nothing
		Requests appRequests
		Queue    *float64
		Memory   *float64
	}
	appRequests struct{ Rate, P95, Errors *float64 }
	// appLink is a link to an app in the banner.
	appLink struct {
		Name  string
		Level display.Level
	}
)

// sorted returns a copy of the apps in the order of the page: the worst level first, then
// by name.
func (s *pageState) sorted() []app {
	out := slices.Clone(s.Apps)
	slices.SortStableFunc(out, func(a, b app) int { return cmp.Compare(s.sickness(b.Name), s.sickness(a.Name)) })
	return out
}

// sickness returns the level of an app; LevelHealthy if it was not judged.
func (s *pageState) sickness(name string) display.Level {
	return max(display.LevelHealthy, s.appLevel(name))
}

// appLevel returns the level of an app; LevelUnknown if it was not judged.
func (s *pageState) appLevel(name string) display.Level {
	st := s.health.Of(name)
	if st == nil {
		return display.LevelUnknown
	}
	return display.LevelOf(st.Overall)
}

// divide returns the apps that the page shows whole, and those that it shows in one line
// each, both in the order of the page. Of more than two apps only the two sickest that are
// not healthy, and the one that was asked for, are whole.
func (s *pageState) divide(q past.Asked) (whole, lines []app) {
	all := s.sorted()
	if len(all) <= fewApps {
		return all, nil
	}
	for i := range all {
		sick := s.sickness(all[i].Name) > display.LevelHealthy && len(whole) < openUpTo
		if sick || all[i].Name == q.App {
			whole = append(whole, all[i])
		} else {
			lines = append(lines, all[i])
		}
	}
	return whole, lines
}

// linesOf returns a line for each app, at most linesUpTo, and the number of the others.
// others: the page also shows an app in full.
func (s *pageState) linesOf(lines []app, others bool) linesView {
	v := linesView{Title: "Apps", Hidden: max(0, len(lines)-linesUpTo)}
	if others {
		v.Title = "Other apps"
	}
	for i := range lines[:len(lines)-v.Hidden] {
		a := &lines[i]
		x := lineView{Name: a.Name, Level: s.appLevel(a.Name), Queue: a.Queue, Memory: a.Memory, Requests: appRequests{a.Requests.Rate, a.Requests.P95, a.Requests.ErrorRatio}}
		x.Word = x.Level.String()
		if total := a.total(); total > 0 {
			x.Busy = health.FormatCount(a.in("busy")+a.in("stuck")) + " of " + text.Plural(total, "worker", "workers") + " busy"
		}
		x.Why = s.whyOf(a.Name)
		v.Lines = append(v.Lines, x)
	}
	return v
}

// whyOf returns what is wrong with an app, without its name: what holds it up, and its
// first finding; "" if nothing is.
func (s *pageState) whyOf(name string) string {
	var words []string
	if b := s.causeOf(name); b != nil {
		words = append(words, "held up by "+cause.Words(b))
	}
	for _, f := range s.health.Findings() {
		if f.App == name {
			words = append(words, strings.TrimPrefix(f.Summary, name+" "))
			break
		}
	}
	return strings.Join(words, "; ")
}

// sickApps returns links to the apps that are not healthy, the worst first, at most
// bannerUpTo, and how many more there are. It returns none if there is only one app.
func (s *pageState) sickApps() (links []appLink, more int) {
	if len(s.Apps) < 2 {
		return nil, 0
	}
	all := s.sorted()
	for i := range all {
		l := s.sickness(all[i].Name)
		switch {
		case l == display.LevelHealthy:
		case len(links) == bannerUpTo:
			more++
		default:
			links = append(links, appLink{all[i].Name, l})
		}
	}
	return links, more
}

// layout returns the names of the apps that are shown whole, in their order, one a line;
// "none" if there is no app. When it changes, the script cannot update section by section
// and loads the page again.
func layout(s *pageState, whole []app) string {
	names := make([]string, 0, len(whole)+1)
	if len(s.Apps) == 0 {
		names = append(names, "none")
	}
	for i := range whole {
		names = append(names, whole[i].Name)
	}
	return strings.Join(names, "\n")
}
