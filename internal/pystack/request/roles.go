package request

import "strings"

// role is what a function of a server or a framework is for.
type role uint8

const (
	plain     role = iota
	server         // below it a request is in hand
	gunicorn       // a server's frame with request_start and environ
	waitress       // a server's frame with self.start_time
	asgi           // a server's coroutine with self.scope
	wsgi           // a function with the arguments environ and start_response
	scoped         // an ASGI app's or server's function with scope and receive
	flask          // wsgi_app: environ and ctx
	dispatch       // Flask's dispatch_request: rule
	django         // _get_response: request, and calls the view
	caller         // calls the view
	poolIdle       // a pool's thread: idle where it is the innermost frame
	poolWait       // a pool's thread: idle where nothing of the server is below it
	poolQueue      // a pool's thread: idle where it waits for its queue
	queueGet       // queue.Queue.get
	poolGet        // gets a connection from a pool: waits for one, or connects
)

// place is a function of a file, which ends with that path.
type place struct{ file, function string }

// roleOf returns the role of a function, from its name without the class and the file
// that the interpreter has for it; wsgi_app is flask in any file. plain: it is none that
// is known.
func roleOf(file, function string) role {
	switch function {
	case "handle_request", "handle", "handle_one_response", "run_wsgi", "run_wsgi_app", "run_app", "respond", "run", "service", "thread_handler":
		return serverRole(file, function)
	case "wsgi_app":
		return flask // apps may override it; that it has a ctx is checked
	case "run_asgi":
		if strings.Contains(file, "uvicorn/protocols/") {
			return asgi
		}
		return plain
	}
	if module, r := libraryRole(function); r != plain && in(file, module) {
		return r
	}
	return plain
}

// libraryRole returns the role of a library's function by its name, and the path of the
// module that it must be in; plain if it has none.
func libraryRole(function string) (module string, r role) {
	switch function {
	case "dispatch_request":
		return "flask/app.py", dispatch
	case "_get_response":
		return "django/core/handlers/base.py", django
	case "run_endpoint_function":
		return "fastapi/routing.py", caller
	case "_worker":
		return "concurrent/futures/thread.py", poolIdle
	case "handler_thread":
		return "waitress/task.py", poolWait
	case "execute":
		return "waitress/task.py", wsgi
	case "get":
		return "queue.py", queueGet
	case "_do_get":
		return "sqlalchemy/pool/impl.py", poolGet
	case "get_connection":
		return "redis/connection.py", poolGet
	}
	return "", plain
}

// serverRole returns the role of a server's function, whose name is common, by its name
// and file; plain if it has none.
func serverRole(file, function string) role {
	switch (place{within(file), function}) {
	case place{"workers/sync.py", "handle_request"}, place{"workers/gthread.py", "handle_request"}, place{"workers/base_async.py", "handle_request"}:
		if in(file, "gunicorn/"+within(file)) {
			return gunicorn
		}
	case place{"workers/sync.py", "handle"}, place{"workers/gthread.py", "handle"}:
		if in(file, "gunicorn/"+within(file)) {
			return server
		}
	case place{"waitress/task.py", "service"}:
		return waitress
	case place{"werkzeug/serving.py", "run_wsgi"}, place{"middleware/wsgi.py", "run_wsgi_app"}, place{"hypercorn/app_wrappers.py", "run_app"}:
		return wsgi
	case place{"waitress/channel.py", "service"}, place{"wsgiref/handlers.py", "run"}, place{"gevent/pywsgi.py", "handle_one_response"},
		place{"cheroot/wsgi.py", "respond"}, place{"asgiref/sync.py", "thread_handler"}:
		return server
	case place{"_backends/_asyncio.py", "run"}:
		return poolQueue
	}
	return plain
}

// in reports whether a file's path ends with the path of a module, as whole parts.
func in(file, module string) bool {
	head, ok := strings.CutSuffix(file, module)
	return ok && (head == "" || head[len(head)-1] == '/')
}

// within returns the last two parts of a path; the whole path if it has fewer.
func within(file string) string {
	i := strings.LastIndexByte(file, '/')
	if i < 0 {
		return file
	}
	return file[strings.LastIndexByte(file[:i], '/')+1:]
}

// inHand reports whether a request is in hand below a function of this role.
func (r role) inHand() bool { return r >= server && r <= flask }
