package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// errTokenFile is the error that clients see; the log has the reason.
var errTokenFile = errors.New("the token_file cannot be read or contains no token")

// tokenOf returns the token that a request carries: that of X-Resp-Token, else the bearer
// token of Authorization; "" for none.
func tokenOf(req *http.Request) string {
	token := req.Header.Get("X-Resp-Token") // for where Authorization is the server's own basic auth
	if scheme, rest, ok := strings.Cut(req.Header.Get("Authorization"), " "); token == "" && ok && strings.EqualFold(scheme, "bearer") {
		token = strings.TrimSpace(rest)
	}
	return token
}

// authorized reports whether a request carries the token of a file; an error: the file
// cannot be read or has no token. The comparison takes the same time for each wrong one.
// The file is read at each request, so that a new token needs no restart.
func authorized(req *http.Request, file string) (bool, error) {
	want, err := secret.Read(file)
	if err != nil {
		return false, err
	}
	a, b := sha256.Sum256([]byte(tokenOf(req))), sha256.Sum256([]byte(strings.TrimSpace(want)))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}
