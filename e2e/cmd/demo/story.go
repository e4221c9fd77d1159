package main

import (
	"context"
	"errors"
	"fmt"
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
	sentence               string // with which it was explained
	action                 string
	why                    string // it was not healed, or not explained; "": it was
}

// story makes the faults, one after the other, shows what becomes of each, and
// a table of them. An error means that the demo was cut off, or that one was not
// healed.
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
	byAction := slices.IndexFunc(out, func(t told) bool { return t.on != "" })
	if byAction < 0 {
		byAction = len(out)
	}
	failed := table(out[:byAction])
	if len(failed) > 0 {
		return fmt.Errorf("not healed: %s", strings.Join(failed, "; "))
	}
	if failed = explanations(out[byAction:]); len(failed) > 0 {
		return fmt.Errorf("not explained: %s", strings.Join(failed, "; "))
	}
	// What healing does not take back: pools that miss the ended connections.
	if err := s.visit(ctx, "/fault/clear"); err != nil {
		return err
	}
	if byAction > 0 {
		fmt.Println("All of it was healed, with no hand on anything. The shop goes on.")
	}
	fmt.Println()
	return nil
}

// follow injects one fault and prints each of its consequences.
func (s *stack) follow(ctx context.Context, f fault) (told, error) {
	t := told{fault: f}
	if err := s.quiet(ctx, f); err != nil {
		return t, err
	}
	began := time.Now()
	if err := s.make(ctx, f); err != nil {
		return t, err
	}
	say(0, "fault", f.made)
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for t.verified == 0 && t.why == "" {
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-s.died():
			return t, s.post()
		case <-ticker.C:
		}
		s.step(ctx, &t, began)
	}
	if t.why != "" {
		say(time.Since(began), "not healed", t.why)
	}
	return t, nil
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
	switch {
	case now > longest && run != nil:
		t.why = strings.TrimSuffix("the last run ended as "+run.State+": "+run.Reason, ": ")
	case now > longest && t.fired == 0:
		t.why = t.alert + " did not fire"
	case now > longest, t.fired > 0 && now-t.fired > unmoved && run == nil && err == nil:
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

// note takes over what a run has come to.
func (t *told) note(run *attempt, began time.Time) {
	if t.fired > 0 && t.acted == 0 && !run.Applied.IsZero() && run.Plan != nil {
		t.acted, t.action = run.Applied.Sub(began), run.Action
		say(t.acted, "action", run.Action+": "+run.Plan.Summary)
	}
	switch run.State {
	case "verified":
		if t.acted > 0 {
			t.verified = run.Updated.Sub(began)
			say(t.verified, "verified", "looked at again, it is gone")
		}
	case "failed", "escalated":
		t.why = run.State + ": " + run.Reason
		for _, b := range run.Before {
			t.why += "; " + b.Action + ": " + b.Result + " " + b.Reason
		}
	}
}

// say prints one line of the story.
func say(at time.Duration, what, text string) {
	fmt.Printf("  +%5.1f s  %-10s %s\n", at.Seconds(), what, text)
}

// table prints the results of all faults, and returns those that were not healed.
func table(list []told) (failed []string) {
	if len(list) == 0 {
		return nil
	}
	seconds := func(d time.Duration) string {
		if d == 0 {
			return "–"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	const line = "%-24s %-26s %-24s %8s %8s %9s\n"
	fmt.Printf(line, "fault", "alert", "action", "alert", "action", "verified")
	var times []time.Duration
	for _, t := range list {
		action := t.action
		if action == "" {
			action = "–"
		}
		last := seconds(t.verified)
		if t.why != "" {
			last = "no"
			failed = append(failed, t.title)
		} else {
			times = append(times, t.verified)
		}
		fmt.Printf(line, t.title, t.alert, action, seconds(t.fired), seconds(t.acted), last)
	}
	fmt.Printf("%d of %d healed", len(times), len(list))
	if len(times) > 0 {
		slices.Sort(times)
		fmt.Printf("; from the fault to the proof it took %.1f s (median)", times[len(times)/2].Seconds())
	}
	fmt.Print(".\n\n")
	return failed
}

// quiet waits until the alert of a fault does not fire from before.
func (s *stack) quiet(ctx context.Context, f fault) error {
	for end := time.Now().Add(settling); ; {
		a, err := s.firing(ctx, f.alert)
		if err == nil && a == nil {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(fmt.Errorf("%s fires before its fault was made", f.alert), err)
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

// make requests the pages of a fault.
func (s *stack) make(ctx context.Context, f fault) error {
	for _, page := range f.pages {
		if f.holds {
			go func() { _ = s.visit(ctx, page) }() // it ends with the fault, or with ctx
			continue
		}
		if err := s.visit(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// visit requests a page of the shop, which may take longer than any fault.
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
		return fmt.Errorf("the shop's %s: %s: %s", page, resp.Status, text)
	}
	return nil
}
