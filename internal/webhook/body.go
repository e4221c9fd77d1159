package webhook

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// readBody returns a body of at most 1 MiB, and code 0; else 413, 400 or 503 and the text
// of the response. Up to maxShort bytes need no slot, so that slow clients do not keep out
// others; the number of connections limits their memory. A larger body waits for a slot,
// which it holds until release is called; release is never nil.
func (w *Webhook) readBody(ctx context.Context, from io.Reader) (body []byte, release func(), code int, text string) {
	release = func() {}
	body, err := io.ReadAll(io.LimitReader(from, maxShort))
	if err == nil && len(body) == maxShort {
		select {
		case w.large <- struct{}{}:
			release = func() { <-w.large }
		case <-ctx.Done():
			return nil, release, http.StatusServiceUnavailable, errMany
		}
		var rest []byte
		rest, err = safefile.ReadAll(from, maxBody-maxShort)
		body = append(body, rest...)
	}
	switch {
	case errors.Is(err, safefile.ErrTooLarge):
		return nil, release, http.StatusRequestEntityTooLarge, "more than 1 MiB"
	case err != nil:
		return nil, release, http.StatusBadRequest, "the body was not received completely in time"
	}
	return body, release, 0, ""
}
