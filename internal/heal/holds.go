package heal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/text"
	"github.com/resp-exporter/resp-exporter/internal/ticks"
)

const (
	// returnTimeout bounds one look at a temporary setting, with one step of setting it back.
	returnTimeout = 20 * time.Second
	// returnPause is the pause after a step that failed.
	returnPause = time.Minute
	// returnGrace is for how long it is tried beyond [action.MaxHold] to set a temporary setting
	// back that cannot be read, or cannot be set back.
	returnGrace = 10 * time.Minute
)

// holdersOf returns by name the actions whose effect is temporary, built without the settings of a
// rule: a hold outlives the rule that made it. An error: build cannot build one of all actions.
func holdersOf(build Builder) (map[string]action.Holder, error) {
	out := make(map[string]action.Holder)
	for _, name := range config.ActionNames() {
		act, err := build(config.NewHealingStep(name))
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
		if h, ok := act.(action.Holder); ok {
			out[name] = h
		}
	}
	return out, nil
}

// keepHolds checks the temporary settings periodically until ctx ends, and sets back
// those that are over.
func (s *state) keepHolds(ctx context.Context) {
	t := ticks.New(housekeeping)
	defer t.Stop()
	began, failed := time.Now(), make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			t.Again()
		}
		holds := s.guards.Holds()
		s.firing.Follow(holds, time.Now())
		maps.DeleteFunc(failed, func(key string, _ time.Time) bool { _, ok := holds[key]; return !ok })
		for key, h := range holds {
			if ctx.Err() != nil || time.Since(failed[key]) < returnPause {
				continue
			}
			if delete(failed, key); !s.keepHold(ctx, key, h, began) {
				failed[key] = time.Now()
			}
		}
	}
}

// keepHold does the next step of setting back one temporary setting, if that is over. false: that step failed, and is
// tried again later. true in all other cases, also if its end cannot be written, or where nothing is done, such as in
// a pause, in a mode other than enforce, without a journal, while a run works on the target, or if it cannot be read.
func (s *state) keepHold(ctx context.Context, key string, h action.Hold, began time.Time) (ok bool) {
	now := time.Now()
	act := s.current.Load().holders[h.Action]
	if act == nil || s.dryRun() || s.pause.Load().Active(now) || s.storage.current() == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	if s.firing.Has(h.Fingerprint) {
		h.Fired = now
	}
	var r action.Return
	err := safely(func() (err error) {
		r, err = act.PlanReturn(ctx, h, isOver(h, began, now))
		return err
	})
	// Only now, and not for the look: a run that finds its target taken ends.
	if !s.runs.claim(key, h.Run) {
		return true
	}
	defer s.runs.release(key, h.Run)
	if now := s.guards.Held(key); now == nil || now.Run != h.Run || now.To != h.To {
		return true // a run has changed it since
	}
	switch {
	case err != nil:
		s.log.Debug("Temporary setting not readable", "action", h.Action, "target", h.Target, "err", err)
		s.giveUp(key, h, began, err)
	case r.Ended != "":
		if s.endHold(key, h, r.Ended) {
			s.log.Info("Temporary setting ended", "action", h.Action, "target", h.Target, "reason", r.Ended)
		}
	case r.Do == nil:
		if r.Next.Action != "" {
			s.guards.Hold(key, r.Next)
		}
	default:
		if err := s.setBack(ctx, key, h, r); err != nil {
			s.log.Warn("Temporary setting not set back, and is tried again", "action", h.Action, "target", h.Target, "err", err)
			s.giveUp(key, h, began, err)
			return false
		}
	}
	return true
}

// setBack does one step of setting back, after writing it to the journal. An error: that
// could not be written, or the step failed or panicked. The setting is then recorded as
// it was; in the journal only if that can be written.
func (s *state) setBack(ctx context.Context, key string, h action.Hold, r action.Return) error {
	if err := s.storage.append(journal.EntryOfHold(r.Next, journal.DecisionHeld, "is set back", time.Now())); err != nil {
		return err
	}
	s.guards.Hold(key, r.Next)
	if err := safely(func() error { return r.Do(ctx) }); err != nil {
		s.guards.Hold(key, h)
		return errors.Join(err, s.storage.append(journal.EntryOfHold(h, journal.DecisionHeld, "not set back", time.Now())))
	}
	s.log.Info("Temporary setting is set back", "action", r.Next.Action, "target", r.Next.Target, "from", r.Next.From, "to", r.Next.To)
	return nil
}

// endHold records in the journal that a temporary setting is no longer in force. false:
// that cannot be written, and is tried again.
func (s *state) endHold(key string, h action.Hold, reason string) bool {
	if err := s.storage.append(journal.EntryOfHold(h, journal.DecisionReleased, reason, time.Now())); err != nil {
		return false
	}
	s.guards.Release(key)
	return true
}

// giveUp ends a temporary setting that cannot be set back, if it is older than any may
// be; cause is why it cannot. After a restart it is tried for as long.
func (s *state) giveUp(key string, h action.Hold, began time.Time, cause error) {
	if time.Since(h.Since) < action.MaxHold+returnGrace || time.Since(began) < returnGrace {
		return
	}
	if s.endHold(key, h, text.Clip("it stays as it is, because it cannot be set back: "+cause.Error(), action.MaxText)) {
		s.log.Warn("Temporary setting ended without being set back", "action", h.Action, "target", h.Target, "from", h.From, "to", h.To, "err", cause)
	}
}

// isOver reports whether a temporary setting is no longer needed: its alert has not fired
// for as long as it is to stay, or it is older than any may be. After a restart every
// alert counts as firing at began.
func isOver(h action.Hold, began, now time.Time) bool {
	last := h.Fired
	for _, t := range []time.Time{h.Since, began} {
		if t.After(last) {
			last = t
		}
	}
	return now.Sub(last) >= h.For || now.Sub(h.Since) >= action.MaxHold
}

// beginHold returns the temporary setting that a plan leaves; nil if it leaves none.
// Nothing is recorded yet: the caller writes held.entries with the line that the step
// begins, then calls held.begin, and held.undo if the step changed nothing. refused says
// why the step may not begin: too many temporary settings are in force.
func (s *state) beginHold(act action.Action, plan action.Plan, key string, run journal.Run) (h *held, refused string) {
	holder, ok := act.(action.Holder)
	if !ok {
		return nil, ""
	}
	before := s.guards.Held(key)
	hold, ok := holder.Hold(plan, before)
	if !ok {
		return nil, ""
	}
	if !s.guards.HasRoom(key) {
		return nil, fmt.Sprintf("%d temporary settings are in force", action.MaxHolds)
	}
	hold.Action, hold.Target, hold.Rule, hold.Run, hold.Fingerprint = run.Action, plan.Target, run.Rule, run.ID, run.Alert.Fingerprint
	if hold.Since.IsZero() {
		hold.Since = time.Now()
	}
	return &held{key: key, hold: hold, before: before}, ""
}

// held is a temporary setting that a step makes.
type held struct {
	key    string
	hold   action.Hold
	before *action.Hold // which it replaces; nil: none
}

// entries returns the journal line of the setting; none if h is nil.
func (h *held) entries(now time.Time) []journal.Entry {
	if h == nil {
		return nil
	}
	return []journal.Entry{journal.EntryOfHold(h.hold, journal.DecisionHeld, "", now)}
}

// begin records that the setting is in force, or may be. It does nothing if h is nil.
func (h *held) begin(s *state) {
	if h != nil {
		s.guards.Hold(h.key, h.hold)
		s.firing.Follow(s.guards.Holds(), time.Now())
	}
}

// undo records in the journal and here that the step changed nothing: the setting is as
// before. It does nothing if h is nil.
func (h *held) undo(s *state) {
	if h == nil {
		return
	}
	line := journal.EntryOfHold(h.hold, journal.DecisionReleased, "nothing was changed", time.Now())
	if h.before != nil {
		line = journal.EntryOfHold(*h.before, journal.DecisionHeld, "nothing was changed", time.Now())
	}
	if err := s.storage.append(line); err != nil { // then it is found to be as before when it is looked at
		return
	}
	if s.guards.Release(h.key); h.before != nil {
		s.guards.Hold(h.key, *h.before)
	}
}
