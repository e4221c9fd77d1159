package throttle

import "time"

// Begin begins a throttle of an app, whose condition is a function.
func (h *Holder) Begin(a *Action, app string, condition func() (bool, error)) error {
	return h.begin(&hold{app: app, rule: "overload", fingerprint: "f", c: a.c, shares: a.sharesOf(), condition: condition}, time.Now())
}
