package action

import "context"

// Condition reports whether what an alert is about still holds, measured now. An
// error says that it cannot be seen.
type Condition func(ctx context.Context, a Alert) (holds bool, err error)

// Cleared reports whether the condition is gone.
func (c Condition) Cleared(ctx context.Context, a Alert) (bool, error) {
	if c == nil {
		return false, nil
	}
	holds, err := c(ctx, a)
	return err == nil && !holds, err
}
