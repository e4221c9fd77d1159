package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
)

const maxToken = 4 << 10 // bytes of a token and of its file

var errTokenFile = errors.New("the token_file cannot be read, or holds no token")

// authorized tells whether a request carries the token. It takes as long for
// any wrong one, and the file is read anew, so that a new token needs no restart.
func authorized(req *http.Request, file string) (bool, error) {
	want, err := readToken(file)
	if err != nil {
		return false, err
	}
	got := req.Header.Get("X-Resp-Token") // for where Authorization is the server's own basic auth
	if scheme, rest, ok := strings.Cut(req.Header.Get("Authorization"), " "); got == "" && ok && strings.EqualFold(scheme, "bearer") {
		got = strings.TrimSpace(rest)
	}
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1, nil
}

// readToken reads the first line of a regular file. Without O_NONBLOCK, a FIFO
// would hold the request.
func readToken(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", errTokenFile
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", errTokenFile
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	token := strings.TrimSpace(string(b))
	if err != nil || token == "" {
		return "", errTokenFile
	}
	return token, nil
}
