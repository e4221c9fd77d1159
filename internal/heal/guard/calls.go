package guard

// maxCalls is how many alerts of one rule are distinguished for which a person is called. For
// more, the rule calls for a person until the call of each of these has ended.
const maxCalls = 500

// calls are the alerts, by fingerprint, for which a rule calls for a person. A rule is in it
// as long as it has one.
type calls map[string]map[string]bool

// add records that a rule called for a person because of an alert. Beyond maxCalls alerts
// of one rule it does nothing.
func (c calls) add(rule, fingerprint string) {
	if c[rule] == nil {
		c[rule] = make(map[string]bool)
	}
	if len(c[rule]) < maxCalls {
		c[rule][fingerprint] = true
	}
}

// end reports whether a rule called for a person because of an alert, and ends that call.
// It is false too for a call that was not kept, beyond maxCalls.
func (c calls) end(rule, fingerprint string) bool {
	if !c[rule][fingerprint] {
		return false
	}
	if delete(c[rule], fingerprint); len(c[rule]) == 0 {
		delete(c, rule)
	}
	return true
}
