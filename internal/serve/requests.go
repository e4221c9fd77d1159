package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// BodyLimit is how long a client may take to send the body of a request.
const BodyLimit = 2 * time.Second

// request is a request in progress. It waits for its client while its body is
// incomplete and while its response is sent.
type request struct {
	reading time.Time // since then its body is awaited; zero: it is here, or there is none
	writing time.Time // since then its response is sent; zero: the handler works at it
}

// waits returns since when a request waits for its client; the zero time if it
// does not.
func (q *request) waits() time.Time {
	if !q.reading.IsZero() {
		return q.reading
	}
	return q.writing
}

type requestKey struct{}

// Requests returns a handler that records for each connection which requests
// are in progress and which wait for their clients. It is the outermost
// handler.
func (c *Connections) Requests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{}
		defer c.begin(r.Context(), q)()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, q)))
	})
}

// Bodies returns a handler that bounds how long the body of a POST may take, BodyLimit, and
// that reads none of other methods: with HTTP/1, where no client sends one, the response is
// 400 and ends the connection; with HTTP/2 next sees no body. It belongs inside of
// [Connections.Requests], and of [Responses.Buffered] where there is one.
func (c *Connections) Bodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w) // not every writer in tests has deadlines
		switch {
		case r.Body == nil || r.Body == http.NoBody:
			_ = control.SetReadDeadline(time.Time{})
			next.ServeHTTP(w, r)
			return
		case r.Method != http.MethodPost:
			// The server would wait for up to 256 KiB of it before it responds.
			_ = control.SetReadDeadline(time.Unix(1, 0))
			if r.ProtoMajor < 2 {
				endConnection(w, r)
				http.Error(w, "A body is accepted only with POST.", http.StatusBadRequest)
				return
			}
			r = r.Clone(r.Context())
			r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
			next.ServeHTTP(w, r)
			return
		}
		began := time.Now()
		_ = control.SetReadDeadline(began.Add(BodyLimit))
		q, _ := r.Context().Value(requestKey{}).(*request)
		b := &body{ReadCloser: r.Body, whole: func() {
			c.setReading(q, false)
			_ = control.SetReadDeadline(time.Time{})
		}}
		c.setReading(q, true)
		r.Body = b
		next.ServeHTTP(w, r)
		if !b.ended { // it is awaited on, within the limit, before the response
			endConnection(w, r)
		}
	})
}

// endConnection makes the connection of HTTP/1 end with the response.
func endConnection(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 {
		w.Header().Set("Connection", "close")
	}
}

// body is the body of a request; whole is called at its end.
type body struct {
	io.ReadCloser

	whole func()
	ended bool
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		b.whole()
	}
	return n, err
}

// begin records a request of a connection until the returned function is called, which
// does nothing for a connection that is not tracked.
func (c *Connections) begin(ctx context.Context, q *request) (end func()) {
	conn := connOf(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.open[conn]
	if x == nil {
		return func() {}
	}
	x.requests = append(x.requests, q)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, o := range x.requests {
			if o == q {
				x.requests = append(x.requests[:i], x.requests[i+1:]...)
				break
			}
		}
		x.answered, x.since = true, c.now()
	}
}

// setReading records whether the server waits for the body of a request.
func (c *Connections) setReading(q *request, awaited bool) {
	if q == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q.reading = time.Time{}
	if awaited {
		q.reading = c.now()
	}
}

// setWriting records that the response to a request is being sent.
func (c *Connections) setWriting(ctx context.Context) {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		q.writing = c.now()
	}
}
