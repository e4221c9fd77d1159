package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/common/config"

	"github.com/resp-exporter/resp-exporter/internal/health"
)

const (
	checkLimit  = 10 * time.Second
	answerLimit = 16 << 20        // bytes of an answer
	oldAfter    = 2 * time.Minute // since the last look, before nothing is known any more
	defaultPort = "9868"
)

// The exit codes of monitoring plugins.
const (
	exitHealthy = iota
	exitWarning
	exitCritical
	exitUnknown
)

// checkOptions are the settings of the command check.
type checkOptions struct {
	target

	output string // "text" or "json"
	self   bool   // ask about the exporter only, not what it sees
}

// answer is what is read of /api/v1/status.
type answer struct {
	LastCheck *time.Time     `json:"last_check"`
	Health    *health.Status `json:"health"`
	Todo      []string       `json:"recommendations"` // of all, in their order; an older exporter has none
	Apps      []struct {
		Name       string         `json:"name"`
		Health     *health.Status `json:"health"`
		Bottleneck *struct {
			Sentence string `json:"sentence"` // null without a cause
		} `json:"bottleneck"` // an older exporter has none
	} `json:"apps"`
	Chains []chain `json:"chains"` // the worst first; an older exporter has none
}

// chain is who waits for whom, down to the root.
type chain struct {
	App      string `json:"app"` // whose workers wait
	Sentence string `json:"sentence"`
}

// check reads the status of a running exporter, prints it, and returns the exit code: 0
// healthy, 1 warning, 2 critical, 3 unknown, also if it cannot be read or printed. With
// --self it does what checkSelf does.
func check(o checkOptions, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	if o.self {
		return checkSelf(ctx, &o, stdout)
	}
	var r report
	a, now, err := fetch(ctx, &o)
	if err != nil {
		r = unknownReport(err.Error())
	} else {
		r = a.report(now)
	}
	if err := r.print(o.output, stdout); err != nil {
		printLine(stderr, "resp-exporter: print the status: %v", err)
		return exitUnknown
	}
	return r.code
}

// checkSelf prints whether the exporter answers and is ready, and returns the exit code:
// 0 if it is, else 3. The level of the apps does not count: a container's health check
// must not restart the exporter because an app is critical.
func checkSelf(ctx context.Context, o *checkOptions, stdout io.Writer) int {
	resp, _, err := get(ctx, o.target, "-/ready", nil)
	if err != nil {
		printLine(stdout, "resp-exporter UNKNOWN - %v", err)
		return exitUnknown
	}
	_ = resp.Body.Close()
	printLine(stdout, "resp-exporter HEALTHY - the exporter is ready")
	return exitHealthy
}

// fetch returns the status of the exporter; one longer than answerLimit is an error. now is
// the exporter's own clock, so that the age of the state is right from another host too;
// this host's if the response has no date.
func fetch(ctx context.Context, o *checkOptions) (a answer, now time.Time, err error) {
	resp, shown, err := get(ctx, o.target, "api/v1/status", nil)
	if err != nil {
		return a, now, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerLimit)).Decode(&a); err != nil {
		return a, now, fmt.Errorf("the response of %s is not the status of an exporter: %w", shown, err)
	}
	if now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		now = time.Now()
	}
	return a, now, nil
}

// target is an exporter that is asked over HTTP.
type target struct {
	url  string // or an address without a scheme
	http string // file with the settings of the HTTP client; "": none
}

// get sends a GET request for a path below the exporter's URL, with parameters. Without an
// error the status is 200, and the caller closes the body; shown is the URL as it may be
// printed, without a login.
func get(ctx context.Context, o target, path string, v url.Values) (resp *http.Response, shown string, err error) {
	client, secure, err := httpClient(o.http)
	if err != nil {
		return nil, "", err
	}
	u, err := exporterURL(o.url, secure)
	if err != nil {
		return nil, "", err
	}
	public := *u
	public.User = nil // the login must not be in the output
	shown = public.String()
	full := u.JoinPath(path)
	full.RawQuery = v.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, full.String(), nil)
	if err != nil {
		return nil, shown, fmt.Errorf("cannot reach the exporter at %s: %w", shown, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err = client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok { // it names the whole URL
			err = inner.Err
		}
		return nil, shown, fmt.Errorf("cannot reach the exporter at %s: %w", shown, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, shown, fmt.Errorf("the exporter at %s returned %s", shown, resp.Status)
	}
	return resp, shown, nil
}

// exporterURL returns the URL of an exporter. An address without a scheme, such as
// "web-1", "web-1:9868" or ":9868/admin", is https with secure, else http, on localhost
// if it has no host, and on the port of the exporter unless it has another; a URL stays
// as it is. An error: no URL, neither host nor port, or another scheme.
func exporterURL(address string, secure bool) (*url.URL, error) {
	bare := !strings.Contains(address, "://")
	if bare {
		address = map[bool]string{true: "https://", false: "http://"}[secure] + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("--url: expected an address such as web-1:9868, or http://host:port or https://host:port, with the path of the exporter if it has one")
	}
	if bare {
		u.Host = net.JoinHostPort(cmp.Or(u.Hostname(), "localhost"), cmp.Or(u.Port(), defaultPort))
	}
	return u, nil
}

// httpClient returns the client of a file with the settings of the HTTP clients of
// Prometheus, and whether a setting of its section tls_config is not empty; without a
// file the default one and false. Quoted values of the file are cut out of the error.
func httpClient(file string) (client *http.Client, secure bool, err error) {
	if file == "" {
		return http.DefaultClient, false, nil
	}
	cfg, _, err := config.LoadHTTPConfigFile(file)
	if err == nil {
		secure = cfg.TLSConfig != (config.TLSConfig{})
		client, err = config.NewClientFromConfig(*cfg, "resp-exporter")
	}
	if err != nil { // the parser repeats values of the file, which may be secrets, in backquotes
		why := strings.Join(strings.Fields(regexp.MustCompile("`[^`]*`").ReplaceAllString(err.Error(), "`…`")), " ")
		return nil, false, fmt.Errorf("--http.config.file: cannot use %s: %s", file, why)
	}
	return client, secure, nil
}
