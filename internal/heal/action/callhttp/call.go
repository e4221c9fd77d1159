// Package callhttp is the action call_http: it sends a POST to one fixed URL.
package callhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/handover"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const (
	maxAnswer      = 64 << 10 // bytes of a response that are read and discarded
	longestCall    = time.Minute
	connectTimeout = 5 * time.Second
)

// ErrCall means that there was no response.
var ErrCall = errors.New("the call failed")

// StatusError is the status of a response that is no success.
type StatusError int

// Error implements error.
func (e StatusError) Error() string { return fmt.Sprintf("the response has status %d", int(e)) }

// Deps are the dependencies of the action.
type Deps struct {
	Condition action.Condition // nil: none is measured
	TLS       *tls.Config      // for tests; nil: the system's roots
}

// Action is the action call_http: it sends a POST to one fixed URL. The data of the
// alert is in the JSON of the body only.
type Action struct {
	d Deps
	c config.CallHTTP
}

// New returns the action with these settings.
func New(d Deps, c config.CallHTTP) *Action { return &Action{d: d, c: c} }

// Target implements [action.Action]: "url" for every alert.
func (*Action) Target(action.Alert) string { return "url" }

// Plan implements [action.Action]. Nothing is sent. It is cleared if the condition no
// longer holds, and refused if the URL or the token cannot be used.
func (c *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionCallHTTP, Target: "url", Measure: 1}
	u, refused := c.url()
	if !refused.IsZero() {
		p.Refused = refused
		return p, nil
	}
	var err error
	if p.Cleared, err = c.d.Condition.Cleared(ctx, req.Alert); p.Cleared || err != nil {
		return p, err
	}
	h, err := handover.New(req, config.ActionCallHTTP, p.Target)
	if err != nil {
		return action.Plan{}, err
	}
	_, p.Refused = c.token()
	p.Summary = fmt.Sprintf("send a POST to the configured URL at %s", u.Host) // its path may be a secret
	p.Total, p.Private = 1, h
	return p, nil
}

// url returns the configured URL, or a refusal that does not contain it: it is no URL of
// http or https with a host, or has a login.
func (c *Action) url() (*url.URL, action.Refusal) {
	u, err := url.Parse(c.c.URL)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, action.Refuse(action.CodeURL, "the URL is not http or https")
	case u.User != nil:
		return nil, action.Refuse(action.CodeURLLogin, "the URL contains a login: use token_file")
	}
	return u, action.Refusal{}
}

// token returns the token in token_file without spaces around it, "" if none is configured,
// or a refusal if the file cannot be read, is empty, or has more than one word or a character
// that is not printable ASCII. It is read for each request, so that the token may change
// without a reload.
func (c *Action) token() (string, action.Refusal) {
	if c.c.TokenFile == "" {
		return "", action.Refusal{}
	}
	text, err := secret.Read(c.c.TokenFile)
	if e, ok := errors.AsType[*secret.Error](err); ok {
		return "", action.Refuse(action.CodeToken, "token_file cannot be read: %s", e.Why())
	}
	token := strings.TrimSpace(text)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", action.Refuse(action.CodeToken, "token_file does not contain exactly one token")
	}
	return token, action.Refusal{}
}

// Apply implements [action.Action]. It sends one request and follows no redirect. done is 1, also
// with an error, unless the request cannot be made or no connection be opened: [ErrCall] without a
// response, [StatusError] for a status other than 2xx.
func (c *Action) Apply(ctx context.Context, p action.Plan) (int, error) {
	h, ok := p.Private.(*handover.Handover)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	ctx, cancel := context.WithTimeout(ctx, longestCall)
	defer cancel()
	token, refused := c.token()
	if !refused.IsZero() {
		return 0, refused
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.c.URL, bytes.NewReader(h.Body))
	if err != nil {
		return 0, errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "resp-exporter")
	req.Header.Set("Idempotency-Key", h.Run)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := c.client()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		done := 1 // it may have arrived
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			done = 0
		}
		return done, fmt.Errorf("%w: %w", ErrCall, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // or the server may abort before it is done
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return 1, StatusError(resp.StatusCode)
	}
	h.Succeed()
	return 1, nil
}

// client returns a client for one call: no proxy of the environment, no connection of an
// earlier call, on which the transport might send it twice, no redirects.
func (c *Action) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			TLSClientConfig:        c.d.TLS,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// withoutURL returns what is inside an error of net/http, which has no URL in it: the path
// may be a secret. Any other error is returned as it is.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// Verify implements [action.Action], by [handover.Outcome]: Verified if the call succeeded and the
// condition, if there is one, no longer holds; else, with an error or after a restart, Unchanged.
func (c *Action) Verify(ctx context.Context, p action.Plan) (action.Outcome, error) {
	return handover.Outcome(ctx, c.d.Condition, p)
}
