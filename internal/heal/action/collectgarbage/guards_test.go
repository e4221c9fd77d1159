package collectgarbage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/collectgarbage"
	"github.com/resp-exporter/resp-exporter/internal/heal/followers"
)

func newAction(s shop, w *control.Writer) *collectgarbage.Action {
	return collectgarbage.New(collectgarbage.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Control: w}, config.Collect{Stagger: time.Second, MinFreed: 0.1})
}

func labelled(app string) action.Alert {
	return action.Alert{Labels: map[string]string{"app": app}}
}

// What cannot be done is refused before anything is written.
func TestCollectRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alert  action.Alert
		change func(shop)
		want   action.Code
	}{
		"no app named": {action.Alert{}, func(shop) {}, action.CodeUnknownApp},
		"another app":  {labelled("blog"), func(shop) {}, action.CodeUnknownApp},
		"the rule's":   {labelled("blog"), nil, action.CodeLabelDiffers},
		"nobody follows": {labelled("shop"), func(s shop) {
			for i := range s {
				s[i].Control = appside.Control{}
			}
		}, action.CodeNotFollowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, w := newShop(), control.New(t.TempDir(), nil)
			a := newAction(s, w)
			if c.change == nil {
				a = collectgarbage.New(collectgarbage.Deps{Followers: followers.Finder{Processes: s, Reporter: s, Check: w.Check}, Control: w}, config.Collect{App: "shop"})
			} else {
				c.change(s)
			}
			p, err := a.Plan(t.Context(), action.PlanRequest{RunID: "r-1", Alert: c.alert})
			if err != nil || p.Refused.Code != c.want || len(p.Victims) > 0 {
				t.Errorf("%+v, %v; want %q", p, err, c.want)
			}
			if n, err := a.Apply(t.Context(), p); n != 0 || !errors.Is(err, action.ErrNotPlanned) {
				t.Errorf("a refused plan was applied to %d workers, %v", n, err)
			}
		})
	}
}

// unread is an app that cannot be read.
type unread struct{ shop }

var errUnread = errors.New("no answer")

func (unread) Snapshot(context.Context) (*discovery.Snapshot, error) { return nil, errUnread }

func TestCollectUnread(t *testing.T) {
	t.Parallel()
	s, w := newShop(), control.New(t.TempDir(), nil)
	p, err := newAction(s, w).Plan(t.Context(), action.PlanRequest{RunID: "r-1", Alert: labelled("shop")})
	if err != nil {
		t.Fatal(err)
	}
	a := collectgarbage.New(collectgarbage.Deps{Followers: followers.Finder{Processes: unread{s}, Reporter: s, Check: w.Check}, Control: w}, config.Collect{})
	if _, err := a.Plan(t.Context(), action.PlanRequest{Alert: labelled("shop")}); !errors.Is(err, errUnread) {
		t.Errorf("planned, %v", err)
	}
	if got, err := a.Verify(t.Context(), p); got != "" || !errors.Is(err, errUnread) {
		t.Errorf("%q, %v", got, err)
	}
	if got := a.Report(t.Context(), p); got != "" {
		t.Errorf("a report of nothing: %q", got)
	}
}

// A worker that took the place of a planned one does not count, whatever it reports.
func TestCollectReplacedWorker(t *testing.T) {
	t.Parallel()
	s, w := newShop(), control.New(t.TempDir(), nil)
	a := newAction(s, w)
	p, err := a.Plan(t.Context(), action.PlanRequest{RunID: "r-1", Alert: labelled("shop")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Apply(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for i := range s {
		s[i].Garbage = appside.Garbage{Run: w.Asked("shop").Garbage.Run, Before: 100, After: 50}
	}
	p.Victims = p.Victims[:3]
	for i := range p.Victims {
		p.Victims[i].Identity = "1:1"
	}
	collectgarbage.Late(p)
	if got, err := a.Verify(t.Context(), p); got != action.Unchanged || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

func TestCollectTarget(t *testing.T) {
	t.Parallel()
	w := control.New(t.TempDir(), nil)
	if got := newAction(newShop(), w).Target(labelled("shop")); got != "app:shop/garbage" {
		t.Errorf("%q", got)
	}
}
