package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/doctor/holder"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// The bounds of what the doctor reads of the exporter that runs, and of the
// processes of apps.
const (
	statusLimit  = 2 * time.Second
	statusBytes  = 16 << 20
	maxNotes     = 40
	noteBytes    = 512
	maxClients   = 16 // processes of one app whose descriptors are read
	unreportedAt = time.Minute
)

// exporterStatus is what /api/v1/status of a running exporter has of requests.
type exporterStatus struct {
	Unavailable, Notes []struct{ Collector, Of, Reason, Detail string }
	Apps               []struct {
		Name        string
		Performance struct {
			AvgResponseTime *float64 `json:"avg_response_time"`
			ErrorRate       *float64 `json:"error_rate"`
			Throughput      *float64 `json:"throughput_rps"`
		}
	}
}

// requests adds what apps report of their requests: what the running exporter has
// received, and which apps cannot report.
func (d *doctor) requests(ctx context.Context) {
	if d.Flags.Off["statsd"] || len(d.Config.StatsD.Listen) == 0 {
		return
	}
	r := d.exporterStatus(ctx)
	if r != nil {
		d.addStatusNotes(r)
	}
	d.clients(ctx, r)
}

// exporterStatus returns the status of the exporter that holds the StatsD addresses. nil: its
// descriptors do not prove it, there are no addresses to ask, or, which it adds as a fact, it
// does not serve where this one would or cannot be queried.
func (d *doctor) exporterStatus(ctx context.Context) *exporterStatus {
	pid := d.exporterPID()
	if pid == 0 || d.Flags.Listen == nil {
		return nil
	}
	var why error
	for _, address := range d.Flags.Listen {
		host, port, err := net.SplitHostPort(address)
		if h := holder.Of(d.Flags.ProcRoot, "tcp://"+address); err != nil || !h.Sure || h.PID != pid {
			continue
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		r, err := status(ctx, "http://"+net.JoinHostPort(host, port)+d.Flags.StatusPath)
		if err == nil {
			return r
		}
		why = err
	}
	if why != nil {
		d.fact("requests", "the status page of the running exporter (pid %d) shows what it has received; it cannot be queried: %s", pid, why)
	} else {
		d.fact("requests", "the status page of the running exporter (pid %d) shows what it has received; it does not listen on the address of these flags", pid)
	}
	return nil
}

// exporterPID returns the pid of the exporter that holds a StatsD address; 0 if
// that is not proved.
func (d *doctor) exporterPID() int {
	for _, listen := range d.Config.StatsD.Listen {
		if h := holder.Of(d.Flags.ProcRoot, listen); h.Sure && h.Name == holder.Exporter {
			return h.PID
		}
	}
	return 0
}

// status returns the exporter's status in the JSON that a URL responds with, of its first
// statusBytes; any JSON object passes, also one that no exporter sent. Redirects are not followed.
// An error: no response, another status than 200, or no such JSON.
func status(ctx context.Context, url string) (*exporterStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	c := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, errors.New("no HTTP response")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("the response has status " + strconv.Itoa(resp.StatusCode))
	}
	var r exporterStatus
	if err := json.NewDecoder(io.LimitReader(resp.Body, statusBytes)).Decode(&r); err != nil {
		return nil, errors.New("the response is not the status of an exporter")
	}
	return &r, nil
}

// addStatusNotes adds what a running exporter says of lines that it could not use.
func (d *doctor) addStatusNotes(r *exporterStatus) {
	for _, n := range slices.Concat(r.Notes, r.Unavailable) {
		reason := collectors.Reason(n.Reason)
		lines := reason == collectors.Malformed || reason == collectors.Misnamed || reason == collectors.Untrusted
		if n.Collector != "requests" || !lines || len(d.section("requests").Findings) >= maxNotes {
			continue
		}
		f := Finding{Of: text.Label(n.Of, noteBytes), Reason: reason, Detail: text.Label(n.Detail, noteBytes)}
		if app, ok := strings.CutPrefix(f.Of, "app:"); ok && reason == collectors.Misnamed {
			f.Remedy = strings.Split(collectors.RemedyMisnamed(app), "\n")
		}
		d.add("requests", f)
	}
}

// clients adds what keeps gunicorn apps from reporting requests, for each that runs.
func (d *doctor) clients(ctx context.Context, r *exporterStatus) {
	links := d.statsdLinks(ctx)
	for i := range d.apps {
		a := &d.apps[i]
		if !a.Up || a.Server != cmdline.Gunicorn {
			continue
		}
		argv := d.commandLine(a.PID)
		host := cmdline.Option(argv, "--statsd-host")
		l := links.of(d.Flags.ProcRoot, a)
		if host == "" && l == noSocket {
			continue
		}
		class := a.Class
		if class == "" {
			class = cmdline.Option(argv, "-k", "--worker-class")
		}
		if class == "asgi" && cmdline.Option(argv, "--access-logfile") != "" {
			continue
		}
		d.client(a, text.Label(class, noteBytes), l, r)
	}
}

// client adds what keeps one app from reporting, if it can be seen.
func (d *doctor) client(a *discovery.App, class string, l link, r *exporterStatus) {
	of := "app:" + a.Name
	lower := strings.ToLower(class)
	switch {
	case strings.Contains(lower, "uvicorn"):
		d.add("requests", Finding{
			Of: of, Reason: collectors.Unsupported,
			Detail: fmt.Sprintf("%s reports no requests: gunicorn workers of class %s do not send StatsD lines", a.Name, class),
			Remedy: []string{"send resp.request lines from the app: docs/statsd.md", "serve it with hypercorn --statsd-host"},
		})
	case class == "asgi" && reported(r, a.Name) != "yes":
		d.add("requests", Finding{
			Of: of, Reason: collectors.Unsupported,
			Detail: a.Name + " reports requests only if gunicorn writes an access log: without one, its worker class asgi does not send StatsD lines",
			Remedy: []string{"start gunicorn with --access-logfile /dev/null or another file"},
		})
	case l == disconnected:
		d.add("requests", Finding{
			Of: of, Reason: collectors.NotFound,
			Detail: a.Name + " has a UNIX datagram socket that is not connected: if it is that of --statsd-host, the exporter has restarted and gunicorn does not reconnect",
			Remedy: []string{"restart " + a.Name + "; a socket that systemd holds (docs/statsd.md) survives a restart of the exporter"},
		})
	case class == "" && l == connected && time.Since(a.Start) > unreportedAt && reported(r, a.Name) == "no":
		d.add("requests", Finding{
			Of: of, Reason: collectors.OK,
			Detail: a.Name + " is configured to report requests, but has reported none in the last minutes: it served none, or its worker class reports none (UvicornWorker)",
		})
	}
}

// reported returns "yes" or "no" for whether a running exporter has received
// requests of an app in the last minutes; "" if that is not known.
func reported(r *exporterStatus, app string) string {
	if r == nil {
		return ""
	}
	for _, a := range r.Apps {
		if a.Name == app {
			if p := a.Performance; p.AvgResponseTime != nil || p.ErrorRate != nil || p.Throughput != nil && *p.Throughput > 0 {
				return "yes"
			}
			return "no"
		}
	}
	return ""
}

// commandLine returns the arguments of a process and those of GUNICORN_CMD_ARGS; what cannot be
// read is left out, nil if neither can. A title may have replaced the arguments.
func (d *doctor) commandLine(pid int) []string {
	fs, err := procfs.NewFS(d.Flags.ProcRoot)
	if err != nil {
		return nil
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return nil
	}
	argv, _ := p.CmdLine()
	env, _ := p.Environ()
	for _, v := range env {
		if args, ok := strings.CutPrefix(v, "GUNICORN_CMD_ARGS="); ok {
			argv = append(argv, strings.Fields(args)...)
		}
	}
	return argv
}

// link is the state of an app's StatsD socket.
type link int

const (
	noSocket     link = iota
	connected         // connected to one
	disconnected      // a UNIX datagram socket of theirs is connected to nothing
)

// links are the sockets of this network namespace that send to the exporter,
// and those without a peer, by inode.
type links map[uint64]link

// statsdLinks returns by inode the state of each datagram socket that may lead to StatsD,
// from the kernel's tables: UDP to one of its ports, on whatever host; with a path
// configured also UNIX sockets without a name, connected to it or to nothing. What cannot
// be read is left out.
func (d *doctor) statsdLinks(ctx context.Context) links {
	out := make(links)
	conn, err := sockdiag.Dial(0)
	if err != nil {
		return out
	}
	defer func() { _ = conn.Close() }()
	var ports []uint16
	var paths []string
	for _, listen := range d.Config.StatsD.Listen {
		network, address, err := config.ParseStatsDListen(listen)
		_, port, _ := net.SplitHostPort(address)
		n, e := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil:
		case network == "unixgram":
			paths = append(paths, address)
		case e == nil:
			ports = append(ports, uint16(n))
		}
	}
	udp, _ := conn.UDP(ctx, 0) // what was read counts
	for _, s := range udp {
		if p := s.Remote.Port(); p != 0 && slices.Contains(ports, p) {
			out[s.Inode] = connected
		}
	}
	if len(paths) == 0 {
		return out
	}
	datagrams, _ := conn.UnixDatagrams(ctx)
	ours := make(map[uint64]bool)
	for _, s := range datagrams {
		ours[s.Inode] = slices.Contains(paths, s.Path)
	}
	for _, s := range datagrams {
		switch {
		case s.Path != "":
		case ours[s.Peer]:
			out[s.Inode] = connected
		case s.Peer == 0:
			out[s.Inode] = disconnected
		}
	}
	return out
}

// of returns the best state of the sockets that the first maxClients processes of an app
// hold; noSocket if none is known, or they cannot be read.
func (k links) of(procRoot string, a *discovery.App) link {
	fs, err := procfs.NewFS(procRoot)
	if err != nil || len(k) == 0 {
		return noSocket
	}
	best := noSocket
	for _, m := range a.Processes[:min(len(a.Processes), maxClients)] {
		p, err := fs.Proc(m.PID)
		if err != nil {
			continue
		}
		targets, _ := p.FileDescriptorTargets() // of other users only with a right to it
		for _, t := range targets {
			number, ok := strings.CutPrefix(strings.TrimSuffix(t, "]"), "socket:[")
			inode, err := strconv.ParseUint(number, 10, 64)
			if !ok || err != nil {
				continue
			}
			if l := k[inode]; l == connected {
				return connected
			} else if l == disconnected {
				best = disconnected
			}
		}
	}
	return best
}
