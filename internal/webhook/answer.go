package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
)

// authorize checks the token; it returns 0 and "" if the request is authorized, or there
// is no token_file, else the status (401; 503: the file is unreadable) and text of the
// response.
func (w *Webhook) authorize(req *http.Request) (int, string) {
	file := w.o.TokenFile()
	if file == "" {
		return 0, ""
	}
	switch ok, err := authorized(req, file); {
	case err != nil:
		w.o.Logger.Warn("Token file unreadable, all requests refused", "err", err)
		return http.StatusServiceUnavailable, errTokenFile.Error()
	case !ok:
		return http.StatusUnauthorized, "the bearer token is missing or wrong"
	}
	return 0, ""
}

// sentence returns the text of an error of [Parse], without anything of the body: that of
// ErrJSON for any other error.
func sentence(err error) string {
	for _, e := range []error{ErrVersion, ErrEmpty, ErrAlert} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return ErrJSON.Error()
}

// answer sends v as JSON. Errors of sending are ignored: the client has gone.
func answer(rw http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"error":"the response cannot be encoded"}`)
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	rw.WriteHeader(code)
	_, _ = rw.Write(append(b, '\n'))
}

// fail answers with a status code and an error text as JSON.
func fail(rw http.ResponseWriter, code int, text string) {
	if code == http.StatusUnauthorized {
		rw.Header().Set("WWW-Authenticate", "Bearer")
	}
	answer(rw, code, map[string]string{"error": text})
}
