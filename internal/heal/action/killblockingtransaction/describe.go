package killblockingtransaction

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// describe sets the summary, the figures and the victims of a plan.
func describe(p *action.Plan, r *criteria, found chains, victims []root) {
	blocked := make(map[uint64]bool)
	for _, x := range victims {
		for _, id := range x.blocked {
			blocked[id] = true
		}
	}
	p.Total, p.Measure = len(victims), float64(len(blocked))
	p.Summary = fmt.Sprintf("end %d connections of pool %s of app %s that sleep in a transaction: %d of %d connections that wait for a lock wait for them",
		p.Total, r.Pool, r.App, len(blocked), found.waiting)
	if n := len(found.roots) - len(victims); n > 0 && len(victims) > 0 {
		p.Summary += fmt.Sprintf("; %d other connections that block are not ended", n)
	}
	switch {
	case found.waiting == 0:
		p.Cleared = true
	case len(victims) > 0:
	case len(found.roots) == 0:
		p.Refused = action.Refuse(action.CodeCircle, "%d connections wait for each other in a circle: the server ends one of them itself", found.waiting)
	default:
		p.Refused = refusal(r, found.roots[0])
	}
}

// refusal returns why a root may not be ended.
func refusal(r *criteria, x root) action.Refusal {
	if x.obstacle == unknownRoot {
		return because(r, x)
	}
	return because(r, x).Within(fmt.Sprintf("connection %d, for which %d connections wait, is not ended", x.ID, len(x.blocked)))
}

// because returns the obstacle of a root as a refusal; zero if it has none.
func because(r *criteria, x root) action.Refusal {
	switch x.obstacle {
	case unknownRoot:
		return action.Refuse(action.CodeRootUnknown, "%d connections wait for a lock, and the server does not report which connection holds it", len(x.blocked))
	case protectedUser:
		return action.Refuse(action.CodeOtherUser, "its user is not in users")
	case notOwn:
		return becauseOther(r, x)
	case working:
		return action.Refuse(action.CodeRootWorking, "it does not sleep in a transaction, its state is %s", state(x))
	case tooYoung:
		return action.Refuse(action.CodeTooYoung, "it has slept for %s, min_idle is %s", action.RoundTenths(x.Time), r.MinIdle)
	case tooManyRows:
		return action.Refuse(action.CodeTooManyRows, "it has changed %d rows, max_trx_rows is %d: its rollback would take long", x.Rows, r.MaxRows)
	case victim:
		return onlyWaits(r.onlyWait[x.ID])
	case shared:
		return action.Refuse(action.CodeOtherRoot, "they also wait for another connection that may not be ended")
	case tooFew:
		return action.Refuse(action.CodeTooFewBlocked, "min_blocked is %d", r.minBlocked)
	}
	return action.Refusal{}
}

// onlyWaits returns the refusal for a root whose worker only waits because of a fault
// elsewhere; why names the fault.
func onlyWaits(why string) action.Refusal {
	return action.Refuse(action.CodeVictim, "its worker waits for somebody else: %s", why)
}

// becauseOther returns why a connection is not proven to be the app's: another app holds
// it, its holder is not known, or no process holds it.
func becauseOther(r *criteria, x root) action.Refusal {
	if !r.Owner.Unheld(x.Connection) {
		return action.Refuse(action.CodeOtherApp, "app %s holds it, not app %s", r.Owner.Holder(x.Connection).App, r.App)
	}
	if why := r.Owner.WhyIncomplete(); why != "" {
		return action.Refuse(action.CodeHoldersUnknown, "it is not known which process holds it: %s", why)
	}
	return action.Refuse(action.CodeUnheld, "no process of app %s on this host holds it", r.App)
}

// state returns what a connection does: "asleep without a transaction"; if it sleeps in one,
// the state of the transaction, such as "RUNNING"; else its command, such as "Query".
func state(x root) string {
	switch {
	case x.Command == "Sleep" && !x.InTransaction:
		return "asleep without a transaction"
	case x.Command == "Sleep":
		return x.TrxState
	}
	return x.Command
}
