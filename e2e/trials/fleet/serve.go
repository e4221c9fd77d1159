package fleet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// text returns what the exporter of a host answers at a time.
func (r *recording) text(b []byte, host int, since time.Duration) []byte {
	family := ""
	for i := range r.series {
		s := &r.series[i]
		if name := s.name(); name != family && r.types[name] != "" {
			family = name
			b = append(append(append(append(b, "# TYPE "...), name...), ' '), r.types[name]+"\n"...)
		}
		b = append(append(b, s.key...), ' ')
		b = append(strconv.AppendFloat(b, s.at(host, since), 'g', -1, 64), '\n')
	}
	return b
}

// serve serves the metrics of each host at /HOST/metrics until ctx ends. It returns its
// address without waiting.
func (r *recording) serve(ctx context.Context, began time.Time) (address string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{host}/metrics", func(w http.ResponseWriter, req *http.Request) {
		host, err := strconv.Atoi(req.PathValue("host"))
		if err != nil || illnessOf(host) == exporterDown {
			http.Error(w, "this host is down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(r.text(make([]byte, 0, 1<<16), host, time.Since(began)))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, req *http.Request) { // alerts
		_, _ = io.Copy(io.Discard, io.LimitReader(req.Body, 64<<20))
		w.WriteHeader(http.StatusOK)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			panic(err) // the listener is ours
		}
	}()
	return l.Addr().String(), nil
}
