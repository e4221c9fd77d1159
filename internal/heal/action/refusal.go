package action

import "fmt"

// Refusal is why a plan must not be carried out although its condition holds. As an error
// of [Action.Apply] it means that nothing was done, because it must not be done: the step
// is refused, as by its plan, and has not failed.
type Refusal struct {
	Code   Code   // "": of a plan that was read from the journal, which has the sentence only
	Reason string // a sentence, for people
}

// Refuse returns a refusal whose reason is a format with its arguments, as of [fmt.Sprintf].
func Refuse(code Code, format string, args ...any) Refusal {
	return Refusal{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// IsZero reports whether nothing is refused.
func (r Refusal) IsZero() bool { return r == Refusal{} }

// Error implements error.
func (r Refusal) Error() string { return r.Reason }

// Within returns the refusal with a text before its reason, such as the setting that it
// is about. A zero refusal stays zero.
func (r Refusal) Within(what string) Refusal {
	if !r.IsZero() {
		r.Reason = what + ": " + r.Reason
	}
	return r
}

// MarshalText implements [encoding.TextMarshaler]: the reason.
func (r Refusal) MarshalText() ([]byte, error) { return []byte(r.Reason), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The code is not known afterwards.
func (r *Refusal) UnmarshalText(text []byte) error {
	*r = Refusal{Reason: string(text)}
	return nil
}
