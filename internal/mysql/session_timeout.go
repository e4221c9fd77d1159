package mysql

import (
	"context"
	"fmt"
)

// idleSeconds is how long the server keeps the session open between two reads,
// whatever its own wait_timeout. The longest interval between reads is far
// shorter.
const idleSeconds = 28800

// setIdleTimeout sets the session's wait_timeout to idleSeconds, so that a
// server with a shorter one does not close the connection between two reads. A
// server that refuses it, as a proxy may, is used all the same: a closed
// connection is opened again.
func (l *link) setIdleTimeout(ctx context.Context) error {
	err := l.exec(ctx, fmt.Sprintf("SET SESSION wait_timeout=%d", idleSeconds))
	if err != nil && classify(err).lost {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}
