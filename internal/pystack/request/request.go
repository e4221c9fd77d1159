// Package request reads from a Python thread's stack which request it has in hand:
// the view, the method, the route and the start, where the locals of the server or
// the framework have them. No argument of the app's own functions is read. A
// function with a boolean result returns false also for what cannot be read or makes no sense.
package request

import (
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// Request is what a thread's stack and locals show of a request. Texts are cleaned and
// bounded. View and Route have the form of labels, but their number is not bounded.
type Request struct {
	InHand   bool      // the thread is below a server's request frame
	IdlePool bool      // it is a thread of a pool that has nothing to do
	View     string    // Flask's endpoint, or the function that handles it; "": not known
	Route    string    // the rule, such as "/checkout/<int:id>"; "": not known
	Method   string    // one of HTTP's, else "other"; "": not known
	Path     string    // what was asked for, without the query; "": not known
	Started  time.Time // when the server began to handle it; zero: not known
	Pool     bool      // it is in a pool of connections, to get one
}

// Thread is what is remembered of a thread from look to look.
type Thread struct {
	trail   object.Trail
	codes   []*code // of the frames of the last look
	path    string
	raw     []byte // path as it was read
	date    object.Date
	started time.Time // of date
	last    Request
	known   bool // last was read
}

// Reader reads the requests of one process. It must not be used by two goroutines
// at once.
type Reader struct {
	objects *object.Reader
	place   *time.Location
	// interpreters is the address of the pointer to the main interpreter.
	interpreters uint64
	codes        map[uint64]*code
	texts        map[string]string // cleaned, by what was read
	buf          []byte
	raw          []byte
	keys         keys
	outer        uint64 // see Scope
}

// Scope returns the address of the outermost ASGI scope that the last call of
// [Reader.Of] has read; 0: none.
func (r *Reader) Scope() uint64 { return r.outer }

// keys are the names that are looked up.
type keys struct {
	scopeType                                                                 *object.Key
	method, path, script, request, hidden, urlRule, rule, endpoint, startTime *object.Key
	scope, scopeMethod, scopePath, scopeEndpoint, scopeRoute, routePath       *object.Key
	match, funcPath, route, timeModule, timezone, altzone, daylight           *object.Key
}

// New returns a reader of a process's requests. place is the exporter's time zone, which
// a process with the same offsets from UTC is taken to be in. The room may be shared by
// readers that are not used at once. An error means that objects of this version are not
// known.
func New(p *pystack.Process, place *time.Location, room *object.Room) (*Reader, error) {
	const plainType = 8 // where objects have their type without Py_TRACE_REFS
	layout, err := object.LayoutOf(p.Version().Major, p.Version().Minor, p.Layout().Object.Type > plainType)
	if err != nil {
		return nil, err
	}
	interpreters := p.Runtime() + uint64(p.Layout().Runtime.InterpretersHead)
	return newReader(object.NewReader(p.Memory(), layout, room), interpreters, place), nil
}

// newReader returns a reader of request objects. place is the time zone for local times.
func newReader(objects *object.Reader, interpreters uint64, place *time.Location) *Reader {
	k := object.NewKey
	return &Reader{objects: objects, place: place, interpreters: interpreters, codes: map[uint64]*code{}, texts: map[string]string{}, keys: keys{
		method: k("REQUEST_METHOD"), path: k("PATH_INFO"), script: k("SCRIPT_NAME"),
		request: k("request"), hidden: k("_request"), urlRule: k("url_rule"), rule: k("rule"), endpoint: k("endpoint"),
		startTime: k("start_time"),
		scopeType: k("type"),
		scope:     k("scope"), scopeMethod: k("method"), scopePath: k("path"), scopeEndpoint: k("endpoint"), scopeRoute: k("route"), routePath: k("path"),
		match: k("resolver_match"), funcPath: k("_func_path"), route: k("route"),
		timeModule: k("time"), timezone: k("timezone"), altzone: k("altzone"), daylight: k("daylight"),
	}}
}

// Objects returns the reader of the process's objects, whose Counts report how often
// something was refused.
func (r *Reader) Objects() *object.Reader { return r.objects }

// Read sets into to what a stack and its locals show of a request at now; t is what is
// remembered of the thread. It must be called within [pystack.Process.LookThen]. If the
// thread has not run since the last look, it sets what was read then. After a look that
// failed, into must not be used.
func (r *Reader) Read(t *Thread, stack *pystack.Stack, now time.Time, into *Request) {
	if stack.Frozen && t.known { // before the look's own proof: since the last one
		*into = t.last
		return
	}
	r.objects.Begin(&t.trail)
	r.Of(t, stack, now, into)
	r.objects.End(&t.trail)
	t.last, t.known = *into, true
}

// Of sets into as [Reader.Read] does, for one of several stacks, such as those of
// coroutines. The caller has begun the look with the reader of [Reader.Objects].
func (r *Reader) Of(t *Thread, stack *pystack.Stack, now time.Time, into *Request) {
	*into = Request{}
	r.outer = 0
	t.codes = t.codes[:0]
	for i := range stack.Frames {
		t.codes = append(t.codes, r.code(stack.Frames[i].Code))
	}
	into.Pool = slices.ContainsFunc(t.codes, func(c *code) bool { return c.role == poolGet })
	s := look{Reader: r, thread: t, frames: stack.Frames, codes: t.codes, now: now, into: into}
	if s.begins(); into.InHand {
		s.request()
		if into.View == "" {
			s.fallback()
		}
	}
}

// module is the name of a module's own code.
const module = "<module>"

// look is one look at a thread.
type look struct {
	*Reader
	thread *Thread
	frames []pystack.Frame // innermost first
	codes  []*code
	now    time.Time
	into   *Request
	first  int    // the outermost frame with a request in hand
	scoped uint64 // the scope that was read last
}

// begins sets whether the stack has a request, from which frame on, and whether the
// thread is an idle one of a pool.
func (s *look) begins() {
	s.first = -1
	for i := range slices.Backward(s.codes) {
		switch role := s.codes[i].role; {
		case role == poolIdle && i == 0:
			s.into.IdlePool = true
		case role == poolWait:
			s.into.IdlePool = true
		case role == poolQueue:
			if i == 0 || s.codes[i-1].role == queueGet {
				s.into.IdlePool = true
				return
			}
			s.first = i
		case role == scoped && !s.http(i):
		case role.inHand():
			s.first = i
		}
		if s.first >= 0 {
			s.into.InHand, s.into.IdlePool = true, false
			return
		}
	}
}

// request sets what the locals of servers and frameworks tell of the request, from the
// outermost frame inwards: the first that has something is the request's own.
func (s *look) request() {
	for i := s.first; i >= 0; i-- {
		frame, c := s.frames[i].Addr, s.codes[i]
		switch c.role {
		case gunicorn:
			s.gunicorn(frame, c)
		case waitress:
			s.waitress(frame, c)
		case asgi:
			s.asgi(frame, c)
		case scoped:
			if scope, ok := s.local(frame, c, nameScope); ok {
				s.scope(scope)
			}
		case wsgi:
			s.environ(frame, c)
		case flask:
			s.environ(frame, c)
			s.context(frame, c)
		case dispatch:
			if rule, ok := s.local(frame, c, nameRule); ok {
				s.rule(rule)
			}
		case django:
			s.django(frame, c)
		default: // it has nothing of the request
		}
	}
}

// gunicorn sets the method, the path and the start of a request from the locals of
// handle_request.
func (s *look) gunicorn(frame uint64, c *code) {
	s.environ(frame, c)
	start, ok := s.local(frame, c, nameStart)
	if !ok {
		return
	}
	date, ok := s.objects.Datetime(start)
	if !ok || date.Zone {
		return
	}
	if date != s.thread.date || s.thread.started.IsZero() {
		at, ok := s.moment(date, s.now)
		if !ok {
			return
		}
		s.thread.date, s.thread.started = date, at
	}
	s.start(s.thread.started)
}

// waitress sets the start of a request from the attribute start_time of a task.
func (s *look) waitress(frame uint64, c *code) {
	self, ok := s.local(frame, c, nameSelf)
	if !ok {
		return
	}
	value, ok := s.objects.Attribute(self, s.keys.startTime)
	if !ok {
		return
	}
	const latest = 1 << 40 // seconds, far beyond any clock
	if seconds, ok := s.objects.Float(value); ok && seconds > 0 && seconds < latest {
		whole := int64(seconds)
		s.start(time.Unix(whole, int64((seconds-float64(whole))*1e9)))
	}
}

// start sets when a request started, unless that is known already or the time is still to
// come.
func (s *look) start(at time.Time) {
	if s.into.Started.IsZero() && !toCome(at, s.now) {
		s.into.Started = at
	}
}

// environ sets the method and the path from a WSGI environment, unless one is set
// already.
func (s *look) environ(frame uint64, c *code) {
	if s.into.Method != "" || s.into.Path != "" {
		return
	}
	env, ok := s.local(frame, c, nameEnviron)
	if !ok {
		if env, ok = s.local(frame, c, nameEnv); !ok {
			return
		}
	}
	if value, ok := s.objects.Lookup(env, s.keys.method); ok {
		s.into.Method = s.method(value)
	}
	value, ok := s.objects.Lookup(env, s.keys.path)
	if !ok {
		return
	}
	s.raw = s.raw[:0]
	if script, ok := s.objects.Lookup(env, s.keys.script); ok {
		s.raw, _ = s.wsgiText(s.raw, script)
	}
	if s.raw, ok = s.wsgiText(s.raw, value); ok {
		s.into.Path = s.path(s.thread, s.raw)
	}
}

// context sets the view and the route from the rule that Flask has found, by its context
// of a request.
func (s *look) context(frame uint64, c *code) {
	ctx, ok := s.local(frame, c, nameContext)
	if !ok {
		return
	}
	request, ok := s.objects.Attribute(ctx, s.keys.request)
	if !ok {
		if request, ok = s.objects.Attribute(ctx, s.keys.hidden); !ok {
			return
		}
	}
	if rule, ok := s.objects.Attribute(request, s.keys.urlRule); ok {
		s.rule(rule)
	}
}

// rule sets the view and the route from a rule of Werkzeug, unless the view is set
// already.
func (s *look) rule(rule uint64) {
	if s.into.View != "" || s.objects.IsNone(rule) {
		return
	}
	if value, ok := s.objects.Attribute(rule, s.keys.endpoint); ok {
		s.into.View = s.text(value)
	}
	if value, ok := s.objects.Attribute(rule, s.keys.rule); ok {
		s.into.Route = s.text(value)
	}
}

// django sets the view and the route from what Django has resolved the path to, unless
// the view is set already.
func (s *look) django(frame uint64, c *code) {
	request, ok := s.local(frame, c, nameRequest)
	if !ok || s.into.View != "" {
		return
	}
	match, ok := s.objects.Attribute(request, s.keys.match)
	if !ok || s.objects.IsNone(match) {
		return
	}
	if value, ok := s.objects.Attribute(match, s.keys.funcPath); ok {
		s.into.View = s.text(value)
	}
	if value, ok := s.objects.Attribute(match, s.keys.route); ok {
		s.into.Route = s.text(value)
	}
}

// fallback sets the view from the frames alone: the function that a framework calls as a
// view, else the outermost one of the app's own code.
func (s *look) fallback() {
	for i := s.first; i > 0; i-- {
		if role := s.codes[i].role; role == django || role == caller {
			s.into.View = s.codes[i-1].view
			return
		}
	}
	for i := s.first; i >= 0; i-- {
		if s.frames[i].Code.Own {
			s.into.View = s.codes[i].view
			if s.codes[i].code.Name != module {
				return // a module runs the server: its functions tell more
			}
		}
	}
}
