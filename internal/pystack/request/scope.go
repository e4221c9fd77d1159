package request

import "github.com/resp-exporter/resp-exporter/internal/pystack"

// InThread reports whether coroutines, the innermost first, wait for a thread of a pool,
// which then works on the request: whether one of the first two is a function that is
// known for that. The first with the name of one decides: false if its file is another.
func InThread(frames []pystack.Frame) bool {
	const near = 2 // asyncio.wait_for is between
	for i := range frames[:min(len(frames), near)] {
		c := frames[i].Code
		switch c.Name {
		case "run_sync_in_worker_thread":
			return in(c.File, "anyio/_backends/_asyncio.py")
		case "handle_http":
			return in(c.File, "hypercorn/middleware/wsgi.py")
		case "__call__":
			return in(c.File, "uvicorn/middleware/wsgi.py") || in(c.File, "asgiref/sync.py")
		}
	}
	return false
}

// http reports whether the scope that a frame has is that of an HTTP request: an ASGI app
// is called for the life of the process and for WebSockets too. It is false if there is no
// scope, or it cannot be read.
func (s *look) http(i int) bool {
	scope, ok := s.local(s.frames[i].Addr, s.codes[i], nameScope)
	if !ok {
		return false
	}
	kind, ok := s.objects.Lookup(scope, s.keys.scopeType)
	return ok && s.objects.Equals(kind, "http")
}

// asgi sets what the scope of a server's object of a request tells.
func (s *look) asgi(frame uint64, c *code) {
	self, ok := s.local(frame, c, nameSelf)
	if !ok {
		return
	}
	if scope, ok := s.objects.Attribute(self, s.keys.scope); ok {
		s.scope(scope)
	}
}

// scope sets what the scope of an ASGI request tells: method, path, and the endpoint as
// the view. The router adds the endpoint, to this scope or to a copy that is handed on.
func (s *look) scope(scope uint64) {
	if scope == s.scoped || s.into.View != "" {
		return // the function within has been handed the same one
	}
	s.scoped = scope
	if s.outer == 0 {
		s.outer = scope
	}
	s.asked(scope)
	if value, ok := s.objects.Lookup(scope, s.keys.scopeRoute); ok {
		if path, ok := s.objects.Attribute(value, s.keys.routePath); ok {
			s.into.Route = s.text(path)
		}
	}
	if value, ok := s.objects.Lookup(scope, s.keys.scopeEndpoint); ok {
		if name, ok := s.objects.FunctionName(value); ok {
			s.into.View = s.text(name)
		}
	}
}

// asked sets the method and the path from an ASGI scope, unless another scope has set the
// method.
func (s *look) asked(scope uint64) {
	if s.into.Method != "" {
		return
	}
	if value, ok := s.objects.Lookup(scope, s.keys.scopeMethod); ok {
		s.into.Method = s.method(value)
	}
	value, ok := s.objects.Lookup(scope, s.keys.scopePath)
	if !ok {
		return
	}
	if s.raw, ok = s.objects.Str(s.raw[:0], value); ok {
		s.into.Path = s.path(s.thread, s.raw)
	}
}
