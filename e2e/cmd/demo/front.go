package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// startFront starts the proxy in front of the shop. It says when it received a request, as
// nginx does with proxy_set_header X-Request-Start "t=${msec}".
func (s *stack) startFront(ctx context.Context, bind, shop string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", bind)
	if err != nil {
		return fmt.Errorf("the proxy in front of the shop: %w", err)
	}
	to := &url.URL{Scheme: "http", Host: shop}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{DisableKeepAlives: true},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
			p.Out.Header.Set("X-Request-Start", fmt.Sprintf("t=%.3f", float64(time.Now().UnixMicro())/1e6))
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	s.front = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.front.Serve(l) }()
	return nil
}
