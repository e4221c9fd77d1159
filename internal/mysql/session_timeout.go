package mysql

import (
	"context"
	"fmt"
)

// idleSeconds is how long the server leaves our session open between two looks,
// whatever its own wait_timeout. The longest interval of both is far below.
const idleSeconds = 28800

// setIdleTimeout sets the session's wait_timeout, so that a server with a short one does
// not cut our connection between two looks. A server that refuses that, as a
// proxy may, is looked at all the same: a connection that was cut is made anew.
func (l *link) setIdleTimeout(ctx context.Context) error {
	err := l.exec(ctx, fmt.Sprintf("SET SESSION wait_timeout=%d", idleSeconds))
	if err != nil && classify(err).lost {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}
