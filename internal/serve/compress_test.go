package serve

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTakesGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "zstd, gzip": true, "br,gzip": true,
		"": false, "identity": false, "gzip;q=0": false, "gzip; q=0.0": false, "xgzip": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("takesGzip(%q) = %v", header, got)
		}
	}
}

func TestCompressed(t *testing.T) {
	text := strings.Repeat("resp_up 1\n", 1000)
	h := Compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, text)
	}))
	for _, path := range []string{"/", "/bad", "/"} { // a writer is used again
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"/": text, "/bad": "bad\n"}[path]; string(b) != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d bytes, headers %v", path, len(b), w.Header())
		}
		if want := map[string]int{"/": 200, "/bad": 400}[path]; w.Code != want {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Body.String() != text || w.Header().Get("Content-Encoding") != "" {
		t.Error("compressed for a client that did not ask")
	}
}
