package request

// http reports whether the scope that a frame has is that of an HTTP request: an
// ASGI app is called for the life of the process and for WebSockets too.
func (s *look) http(i int) bool {
	scope, ok := s.local(s.frames[i].Addr, s.codes[i], nameScope)
	if !ok {
		return false
	}
	kind, ok := s.objects.Lookup(scope, s.keys.scopeType)
	return ok && s.objects.Equals(kind, "http")
}

// scope reads what the scope of an ASGI request has. The router adds the endpoint,
// to this one or to a copy that is handed on.
func (s *look) scope(scope uint64) {
	if s.into.Method == "" {
		if value, ok := s.objects.Lookup(scope, s.keys.scopeMethod); ok {
			s.into.Method = s.method(value)
		}
	}
	if s.into.Path == "" {
		if value, ok := s.objects.Lookup(scope, s.keys.scopePath); ok {
			if s.raw, ok = s.objects.Str(s.raw[:0], value); ok {
				s.into.Path = s.path(s.thread, s.raw)
			}
		}
	}
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
