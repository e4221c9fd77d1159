package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	look     = 300 * time.Millisecond // between two looks at what became of a fault
	longest  = 2 * time.Minute        // from a fault to its end
	unmoved  = 30 * time.Second       // from the alert to a run, else nothing heals it
	settling = 30 * time.Second       // until an earlier alert has ended
)

// told is the result of a fault. Times count from the injection; 0: it did not happen.
type told struct {
	fault
	fired, acted, verified time.Duration
	explained              time.Duration
	sentence               string          // with which it was explained
	action                 string          // the last one
	shown                  map[string]bool // what was printed of its runs
	why                    string          // it was not made, not healed or not explained; "": it was
}

// story makes the faults, one after the other, shows what becomes of each, and
// a table of them. A fault that fails does not keep the others from their turn. An error
// means that the demo was cut off, or that a fault did not end as it should.
func (s *stack) story(ctx context.Context, list []fault) error {
	if len(list) == 0 {
		return nil
	}
	out := make([]told, 0, len(list))
	for i, f := range list {
		fmt.Printf("%d of %d: %s\n", i+1, len(list), f.title)
		follow := s.follow
		if f.on != "" {
			follow = s.explain
		}
		t, err := follow(ctx, f)
		if err != nil {
			return err
		}
		out = append(out, t)
		fmt.Println()
	}
	healed, err := conclude(out)
	if err != nil {
		return err
	}
	// What healing does not take back: pools that miss the ended connections.
	if err := s.visit(ctx, "/fault/clear"); err != nil {
		return err
	}
	if healed {
		fmt.Println("All of the first table was healed, without any manual step. The shop goes on.")
	}
	fmt.Println()
	return nil
}

// conclude prints the tables, and reports whether some faults were healed. An error names
// those that did not end as they should.
func conclude(list []told) (healed bool, err error) {
	var byAction, byPerson, byEnd []told
	for _, t := range list {
		switch {
		case t.on != "":
			byEnd = append(byEnd, t)
		case t.ends == escalate:
			byPerson = append(byPerson, t)
		default:
			byAction = append(byAction, t)
		}
	}
	for _, x := range [...]struct {
		failed []string
		what   string
	}{{table(byAction), "not healed"}, {called(byPerson), "not mended"}, {explanations(byEnd), "not explained"}} {
		if len(x.failed) > 0 {
			err = errors.Join(err, fmt.Errorf("%s: %s", x.what, strings.Join(x.failed, "; ")))
		}
	}
	return len(byAction) > 0, err
}

// follow injects one fault and prints each of its consequences. An error means that the
// demo cannot go on; what went wrong with this fault alone is its why.
func (s *stack) follow(ctx context.Context, f fault) (told, error) {
	t := told{fault: f, shown: map[string]bool{}}
	began := time.Now()
	err := s.quiet(ctx, &t)
	if err == nil && t.why == "" {
		began = time.Now()
		err = s.passes(ctx, &t, began)
	}
	if err == nil && t.why != "" {
		say(time.Since(began), "not healed", t.why)
	}
	return t, err
}

// passes injects a fault at the time began, and returns when it is over, or sets its why.
func (s *stack) passes(ctx context.Context, t *told, began time.Time) error {
	var c *crowd
	if t.crowd {
		c = gather(ctx, s.shopURL)
		defer c.leave()
	}
	if err := s.make(ctx, t); err != nil || t.why != "" {
		return err
	}
	say(0, "fault", t.made)
	if err := s.comes(ctx, t, began); err != nil || t.why != "" {
		return err
	}
	if t.ends == escalate {
		return s.mended(ctx, t, began)
	}
	return s.released(ctx, t, c, began)
}

// comes waits until the fault is healed or a person was called, or for too long.
func (s *stack) comes(ctx context.Context, t *told, began time.Time) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for t.verified == 0 && t.why == "" && (t.ends != escalate || t.acted == 0) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.died():
			return s.post()
		case <-ticker.C:
		}
		s.step(ctx, t, began)
	}
	return nil
}

// step reads the state of a fault once, and prints what is new.
func (s *stack) step(ctx context.Context, t *told, began time.Time) {
	now := time.Since(began)
	mode, list, err := s.runs(ctx)
	run := last(list, t.name, began)
	if a, err := s.firing(ctx, t.alert); t.fired == 0 && err == nil && a != nil {
		t.fired = now
		if run != nil { // it received the alert before we saw it
			t.fired = min(now, run.Created.Sub(began))
		}
		say(t.fired, "alert", fmt.Sprintf("%s: %s", t.alert, a.Annotations["summary"]))
	}
	if err == nil && run != nil {
		t.note(run, began)
	}
	if t.verified > 0 || t.why != "" {
		return
	}
	limit := cmp.Or(t.within, longest)
	switch {
	case now > limit && run != nil:
		t.why = strings.TrimSuffix("the last run ended as "+run.State+": "+run.Reason, ": ")
	case now > limit && t.fired == 0:
		t.why = t.alert + " did not fire"
	case now > limit, t.fired > 0 && now-t.fired > unmoved && run == nil && err == nil:
		t.why = "nothing was done; healing is in mode " + mode
	}
}

// last returns the newest run of a rule that began after a fault.
func last(list []attempt, rule string, after time.Time) *attempt {
	i := slices.IndexFunc(list, func(a attempt) bool { return a.Rule == rule && a.Created.After(after) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// note records the state of a run.
func (t *told) note(run *attempt, began time.Time) {
	t.before(run, began)
	if t.fired > 0 && !run.Applied.IsZero() && run.Plan != nil && t.first(run.ID+run.Action) {
		t.acted, t.action = run.Applied.Sub(began), run.Action
		say(t.acted, "action", run.Action+": "+run.Plan.Summary)
	}
	at := run.Updated.Sub(began)
	switch {
	case run.State == "verified" && t.ends != "" && t.ends != run.Action:
		if t.first(run.ID + run.State) {
			say(at, "verified", run.Action+": "+run.Reason)
		}
	case run.State == "verified":
		t.proved(run, at)
	case run.State == "escalated" && t.ends == escalate:
		if t.fired > 0 {
			t.acted, t.action = at, escalate
			say(at, "action", escalate+": a person is called, as "+run.Reason)
		}
	case run.State == "failed", run.State == "escalated":
		t.why = run.State + ": " + run.Reason
		for _, b := range run.Before {
			t.why += "; " + b.Action + ": " + b.Result + " " + b.Reason
		}
	}
}

// before prints the steps of a run that did not help, if they belong to the fault.
func (t *told) before(run *attempt, began time.Time) {
	for _, b := range run.Before {
		if t.ends != "" && t.first(run.ID+b.Action+b.Result) {
			say(time.Since(began), b.Result, b.Action+": "+b.Reason)
		}
	}
}

// proved records that a run was verified, once its action was seen.
func (t *told) proved(run *attempt, at time.Duration) {
	if t.acted == 0 {
		return
	}
	t.verified = at
	text := "looked at again, it is gone"
	if t.crowd {
		text = run.Reason // the crowd is not gone
	}
	say(at, "verified", text)
}

// first reports whether what this names was not printed before.
func (t *told) first(what string) bool {
	was := t.shown[what]
	t.shown[what] = true
	return !was
}

// say prints one line of the story.
func say(at time.Duration, what, text string) {
	fmt.Printf("  +%5.1f s  %-10s %s\n", at.Seconds(), what, text)
}

// inSeconds returns a time as the tables have it; a dash for 0.
func inSeconds(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// table prints the results of all faults, and returns those that were not healed.
func table(list []told) (failed []string) {
	if len(list) == 0 {
		return nil
	}
	const line = "%-24s %-26s %-24s %8s %8s %9s\n"
	fmt.Printf(line, "fault", "alert", "action", "alert", "action", "verified")
	var times []time.Duration
	for _, t := range list {
		action := t.action
		if action == "" {
			action = "–"
		}
		last := inSeconds(t.verified)
		if t.why != "" {
			last = "no"
			failed = append(failed, t.title)
		} else {
			times = append(times, t.verified)
		}
		fmt.Printf(line, t.title, t.alert, action, inSeconds(t.fired), inSeconds(t.acted), last)
	}
	fmt.Printf("%d of %d healed", len(times), len(list))
	if len(times) > 0 {
		slices.Sort(times)
		fmt.Printf("; from the fault to the proof it took %.1f s (median)", times[len(times)/2].Seconds())
	}
	fmt.Print(".\n\n")
	return failed
}

// quiet waits until the alert of a fault does not fire from before, or sets the fault's why.
func (s *stack) quiet(ctx context.Context, t *told) error {
	for end := time.Now().Add(settling); ; {
		a, err := s.firing(ctx, t.alert)
		switch {
		case err == nil && a == nil:
			return nil
		case time.Now().After(end) && err != nil:
			t.why = err.Error()
			return nil
		case time.Now().After(end):
			t.why = t.alert + " fires before its fault was made"
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.died():
			return s.post()
		case <-time.After(look):
		}
	}
}

// make requests the pages of a fault. A page that fails is the fault's why; an error means
// that a part or ctx ended.
func (s *stack) make(ctx context.Context, t *told) error {
	for _, page := range t.pages {
		if t.holds {
			go func() { _ = s.visit(ctx, page) }() // it ends with the fault, or with ctx
			continue
		}
		if err := s.visit(ctx, page); err != nil {
			t.why = err.Error()
			return s.rests(ctx, look) // so that the end of a part is noticed
		}
	}
	return nil
}

// visit requests a page of the shop, with a timeout that is longer than any fault. An answer
// of 400 or above is an error of one line.
func (s *stack) visit(ctx context.Context, page string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.shopURL+page, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the shop's %s: %s: %s", page, resp.Status, plain(string(text)))
	}
	return nil
}

// plain returns what a page says as one line of text: the first paragraph of a page in HTML,
// as Flask's pages of errors have it, else all of the text.
func plain(page string) string {
	if _, after, ok := strings.Cut(page, "<p>"); ok {
		paragraph, _, _ := strings.Cut(after, "</p>")
		page = html.UnescapeString(paragraph)
	}
	return strings.Join(strings.Fields(page), " ")
}
