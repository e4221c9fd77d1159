package action

import "context"

// Condition measures whether the condition of an alert still holds. An error means that
// it cannot be measured.
type Condition func(ctx context.Context, a Alert) (holds bool, err error)

// Cleared reports whether the condition no longer holds; false without a condition, and
// with an error.
func (c Condition) Cleared(ctx context.Context, a Alert) (bool, error) {
	if c == nil {
		return false, nil
	}
	holds, err := c(ctx, a)
	return err == nil && !holds, err
}
