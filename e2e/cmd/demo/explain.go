package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// endOfWait is how long a wait of the story may go on after it was explained.
const endOfWait = 30 * time.Second

// chain is a chain of waits as the exporter reports it.
type chain struct{ App, On, Sentence string }

// chains returns who waits for whom, as the exporter reports it.
func (s *stack) chains(ctx context.Context) ([]chain, error) {
	var answer struct{ Chains []chain }
	err := getJSON(ctx, s.exporterURL+"/api/v1/status", &answer)
	return answer.Chains, err
}

// explain injects one fault without an action, and prints the sentence with which the
// exporter explains it. It returns when the fault is over.
func (s *stack) explain(ctx context.Context, f fault) (told, error) {
	t := told{fault: f}
	began := time.Now()
	err := s.waiting(ctx, f, false, endOfWait, &t)
	if err == nil && t.why == "" {
		began = time.Now()
		err = s.make(ctx, &t)
	}
	if err != nil {
		return t, err
	}
	if t.why != "" {
		say(time.Since(began), "not explained", t.why)
		return t, nil
	}
	say(0, "fault", f.made)
	if err := s.waiting(ctx, f, true, endOfWait, &t); err != nil {
		return t, err
	}
	t.explained = time.Since(began)
	if t.why != "" {
		say(t.explained, "not explained", t.why)
		return t, nil
	}
	say(t.explained, "explained", t.sentence)
	over := told{}
	if err := s.waiting(ctx, f, false, longest, &over); err != nil {
		return t, err
	}
	if t.why = over.why; t.why != "" {
		say(time.Since(began), "not over", t.why)
	}
	return t, nil
}

// waiting waits until the exporter has a chain of the fault's kind, or none of it
// any more, and sets the sentence, or why that did not come.
func (s *stack) waiting(ctx context.Context, f fault, wanted bool, limit time.Duration, t *told) error {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for end := time.Now().Add(limit); ; {
		list, err := s.chains(ctx)
		i := slices.IndexFunc(list, func(c chain) bool { return c.App == app && c.On == f.on })
		switch {
		case err == nil && (i >= 0) == wanted:
			if wanted {
				t.sentence = list[i].Sentence
			}
			return nil
		case time.Now().After(end) && err != nil:
			t.why = err.Error()
			return nil
		case time.Now().After(end):
			t.why = fmt.Sprintf("the exporter has a chain on %s: %t, after %s", f.on, i >= 0, limit)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.died():
			return s.post()
		case <-ticker.C:
		}
	}
}

// explanations prints the sentences of the faults without an action, and returns those
// that were not explained.
func explanations(list []told) (failed []string) {
	if len(list) == 0 {
		return nil
	}
	explained := 0
	fmt.Printf("%-24s %8s  %s\n", "fault", "after", "what the exporter says")
	for _, t := range list {
		if t.why != "" {
			failed = append(failed, t.title)
			fmt.Printf("%-24s %8s  %s\n", t.title, "no", t.why)
			continue
		}
		explained++
		fmt.Printf("%-24s %6.1f s  %s\n", t.title, t.explained.Seconds(), t.sentence)
	}
	fmt.Printf("%d of %d explained.\n\n", explained, len(list))
	return failed
}
