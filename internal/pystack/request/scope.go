package request

// Scope sets what the scope of an ASGI request has: self is the server's object of
// a request, whose attribute it is.
func (r *Reader) Scope(t *Thread, self uint64, into *Request) {
	scope, ok := r.objects.Attribute(self, r.keys.scope)
	if !ok {
		return
	}
	if value, ok := r.objects.Lookup(scope, r.keys.scopeMethod); ok {
		into.Method = r.method(value)
	}
	if value, ok := r.objects.Lookup(scope, r.keys.scopePath); ok {
		if r.raw, ok = r.objects.Str(r.raw[:0], value); ok {
			into.Path = r.path(t, r.raw)
		}
	}
	if value, ok := r.objects.Lookup(scope, r.keys.scopeRoute); ok {
		if path, ok := r.objects.Attribute(value, r.keys.routePath); ok {
			into.Route = r.text(path)
		}
	}
	if value, ok := r.objects.Lookup(scope, r.keys.scopeEndpoint); ok {
		if name, ok := r.objects.FunctionName(value); ok {
			into.View = r.text(name)
		}
	}
}
