package serve

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// WriteLimit is how long a client may take to read a response.
	WriteLimit = 15 * time.Second
	// handlerLimit bounds what a handler writes before its response is whole, such
	// as "100 Continue".
	handlerLimit = 5 * time.Minute

	maxResponse = 32 << 20 // bytes of one response
	maxWaiting  = 64 << 20 // bytes of all responses that clients have yet to read
	maxPooled   = 4 << 20  // bytes of a buffer that is kept for the next response
)

// The reasons why a response does not reach its client whole.
const (
	CutSlow     = "slow"      // it was not read within WriteLimit
	CutMemory   = "memory"    // too much was waiting to be read by slow clients
	CutTooLarge = "too_large" // it was larger than 32 MiB
)

var errTooLarge = errors.New("the response is too large")

// Responses renders each response completely before its first byte is sent, and
// limits the time and the memory of sending. So a handler never waits for its
// client, and what it holds, such as a slot of --web.max-requests, is free
// before the client reads.
type Responses struct {
	connections *Connections
	limit       time.Duration // WriteLimit, less in tests
	room        int           // maxWaiting, less in tests
	pool        sync.Pool

	mu      sync.Mutex
	waiting []*response // the oldest first
	bytes   int         // of waiting
	cut     map[string]uint64
}

// NewResponses returns a Responses that reports to c which connections wait for
// their clients.
func NewResponses(c *Connections) *Responses {
	return &Responses{
		connections: c, limit: WriteLimit, room: maxWaiting, pool: sync.Pool{New: func() any { return new(bytes.Buffer) }},
		cut: map[string]uint64{CutSlow: 0, CutMemory: 0, CutTooLarge: 0},
	}
}

// Aborted returns a copy of how many responses the exporter has cut off or replaced since the
// start, by reason (CutSlow, CutMemory, CutTooLarge; 0 if none was). One whose client hung up
// before WriteLimit is not counted.
func (r *Responses) Aborted() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.cut)
}

// Buffered returns a handler that sends the response of next once it is complete; status
// 500 instead of one of more than 32 MiB. It cuts off a response that its client does not
// take within WriteLimit, and the oldest ones if those being sent hold too many bytes.
func (r *Responses) Buffered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, ok := r.pool.Get().(*bytes.Buffer)
		if !ok {
			body = new(bytes.Buffer)
		}
		x := &response{ResponseWriter: w, body: body, control: http.NewResponseController(w)}
		_ = x.control.SetWriteDeadline(time.Now().Add(handlerLimit)) // not on every connection there is one
		next.ServeHTTP(x, req)
		r.send(x, req)
		if body.Cap() <= maxPooled {
			body.Reset()
			r.pool.Put(body)
		}
	})
}

// response buffers what a handler writes.
type response struct {
	http.ResponseWriter

	body    *bytes.Buffer
	code    int
	over    bool // it is larger than maxResponse
	control *http.ResponseController
	size    int // of the body, while it is sent
	dropped bool
}

// WriteHeader implements [http.ResponseWriter].
func (x *response) WriteHeader(code int) {
	if x.code == 0 && code >= http.StatusOK {
		x.code = code
	}
}

// Write implements [http.ResponseWriter]. It returns errTooLarge, and stores nothing more,
// once the body would have more than 32 MiB.
func (x *response) Write(b []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	if x.over = x.over || x.body.Len()+len(b) > maxResponse; x.over {
		return 0, errTooLarge
	}
	return x.body.Write(b)
}

// FlushError implements the flusher of [http.ResponseController]. It always returns
// http.ErrNotSupported: nothing is sent before the response is whole.
func (*response) FlushError() error { return http.ErrNotSupported }

// Unwrap returns the writer below, for the deadlines of [http.ResponseController].
func (x *response) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// send sends a complete response within the time limit.
func (r *Responses) send(x *response, req *http.Request) {
	if x.over {
		r.count(CutTooLarge)
		x.body.Reset()
		x.body.WriteString("the response is larger than 32 MiB\n")
		x.code = http.StatusInternalServerError
		x.Header().Del("Content-Encoding")
		x.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if x.code == 0 {
		x.code = http.StatusOK
	}
	if x.code != http.StatusNoContent && x.code != http.StatusNotModified {
		x.Header().Set("Content-Length", strconv.Itoa(x.body.Len()))
	}
	began := time.Now()
	_ = x.control.SetWriteDeadline(began.Add(r.limit))
	x.size = x.body.Len()
	r.begin(x)
	defer r.end(x)
	r.connections.setWriting(req.Context())
	x.ResponseWriter.WriteHeader(x.code)
	if x.size == 0 {
		return
	}
	_, err := x.ResponseWriter.Write(x.body.Bytes())
	// So that what is small waits for its client here, too, in HTTP/2.
	if flushed := http.NewResponseController(x.ResponseWriter).Flush(); err == nil && !errors.Is(flushed, http.ErrNotSupported) {
		err = flushed
	}
	if err != nil && time.Since(began) >= r.limit {
		r.count(CutSlow)
	}
}

// begin adds a response to those being sent, and aborts the oldest ones while
// they hold too many bytes.
func (r *Responses) begin(x *response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, x)
	r.bytes += x.size
	left := r.bytes
	for _, o := range r.waiting {
		if left <= r.room || o == x {
			break
		}
		left -= o.size
		if !o.dropped {
			o.dropped = true
			r.cut[CutMemory]++
			_ = o.control.SetWriteDeadline(time.Unix(1, 0))
		}
	}
}

// end removes a response that has been written.
func (r *Responses) end(x *response) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes -= x.size
	for i, o := range r.waiting {
		if o == x {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			return
		}
	}
}

// count counts a response that was cut off.
func (r *Responses) count(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut[reason]++
}
