package killblockingtransaction

import (
	"fmt"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// describe sets the sentences and figures of a plan.
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
		p.Refused = fmt.Sprintf("%d connections wait for each other in a circle: the server ends one of them itself", found.waiting)
	default:
		p.Refused = refusal(r, found.roots[0])
	}
}

// refusal returns the sentence on a root that may not be ended.
func refusal(r *criteria, x root) string {
	who := fmt.Sprintf("connection %d, for which %d connections wait, is not ended: ", x.ID, len(x.blocked))
	switch x.obstacle {
	case unknownRoot:
		return fmt.Sprintf("%d connections wait for a lock, and the server does not report which connection holds it", len(x.blocked))
	case protectedUser:
		return who + "its user is not in users"
	case notOwn:
		if r.Owner.Unheld(x.Connection) {
			if why := r.Owner.WhyIncomplete(); why != "" {
				return who + "it is not known which process holds it: " + why
			}
			return who + "no process of app " + r.App + " on this host holds it"
		}
		return who + "app " + r.Owner.Holder(x.Connection).App + " holds it, not app " + r.App
	case working:
		return who + "it does not sleep in a transaction, its state is " + state(x)
	case tooYoung:
		return who + fmt.Sprintf("it has slept for %s, min_idle is %s", action.RoundTenths(x.Time), r.MinIdle)
	case tooManyRows:
		return who + fmt.Sprintf("it has changed %d rows, max_trx_rows is %d: its rollback would take long", x.Rows, r.MaxRows)
	case shared:
		return who + "they also wait for another connection that may not be ended"
	case tooFew:
		return who + fmt.Sprintf("min_blocked is %d", r.minBlocked)
	}
	return ""
}

// state returns what a connection does, of a bounded set of words.
func state(x root) string {
	switch {
	case x.Command == "Sleep" && !x.InTransaction:
		return "asleep without a transaction"
	case x.Command == "Sleep":
		return x.TrxState
	}
	return x.Command
}
