package mysql

import (
	"context"
	"fmt"
)

// idleSeconds is how long the server keeps the session open between two reads,
// whatever its own wait_timeout. The longest interval between reads is far
// shorter.
const idleSeconds = 28800

// setIdleTimeout sets the session's wait_timeout to idleSeconds, so that a server with a
// shorter one does not close the connection between two reads. A refusal, as of a proxy,
// is ignored: a closed connection is opened again. An error means that it is lost.
func (l *link) setIdleTimeout(ctx context.Context) error {
	err := l.exec(ctx, fmt.Sprintf("SET SESSION wait_timeout=%d", idleSeconds))
	if err != nil && classify(err).lost {
		return fmt.Errorf("session: %w", err)
	}
	return nil
}
