package serve

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

type tlsConn = tls.Conn

func contextWith(r *http.Request, a net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, a)
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOwnNames(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "resolv.conf", "# search no.example\nnameserver 10.0.0.1\nsearch prod.example cluster.local.\n")
	file(t, dir, "hosts", "127.0.0.1 localhost\n127.0.1.1 web-1.office.example web-1 # me\n10.0.0.2 other.example other\n")
	got := OwnNames("web-1", dir)
	for _, name := range []string{"web-1", "web-1.prod.example", "web-1.cluster.local", "web-1.office.example"} {
		if !slices.Contains(got, name) {
			t.Errorf("no %s in %v", name, got)
		}
	}
	if slices.Contains(got, "other.example") || slices.Contains(got, "web-1.no.example") {
		t.Errorf("names of others: %v", got)
	}
	if got := OwnNames("", dir); got != nil {
		t.Errorf("without a host name %v", got)
	}
	if got := OwnNames("web-1.prod.example", t.TempDir()); !slices.Equal(got, []string{"web-1.prod.example", "web-1"}) {
		t.Errorf("without files %v", got)
	}
}

func TestHasLogin(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]bool{
		"":                                 false,
		"basic_auth_users: {ann: $2y$10$}": true,
		"tls_server_config: {cert_file: a, client_auth_type: RequireAndVerifyClientCert}": true,
		"tls_server_config: {cert_file: a, client_auth_type: RequestClientCert}":          false,
		"tls_server_config: {cert_file: a}":                                               false,
		"basic_auth_users: {}":                                                            false,
		": no YAML":                                                                       false,
	} {
		if got := HasLogin(file(t, dir, "web.yml", text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if HasLogin("") || HasLogin(dir+"/none") {
		t.Error("a login without a file")
	}
}
