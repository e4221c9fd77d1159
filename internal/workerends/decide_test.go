package workerends

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	killed := func(s unix.Signal) Status { return Status{Known: true, Signal: s} }
	exited := func(code int) Status { return Status{Known: true, Code: code} }
	// gunicorn is a worker of gunicorn with the default timeout, looked at a second before.
	gunicorn := func(s Status, heartbeat time.Duration, busy bool) End {
		return End{Status: s, Server: cmdline.Gunicorn, Limit: 30 * time.Second, Busy: busy, HasBeat: true, Heartbeat: heartbeat, Since: time.Second, SinceBeat: time.Second, MasterLives: true}
	}
	uwsgi := func(s Status, request time.Duration) End {
		return End{Status: s, Server: cmdline.UWSGI, Limit: 30 * time.Second, Busy: request > 0, Request: request, Since: time.Second, MasterLives: true}
	}
	with := func(e End, f func(*End)) End { f(&e); return e }
	atEnd := func(e *End) { e.AtEnd, e.SinceBeat = true, 0 }
	const s = time.Second
	for name, c := range map[string]struct {
		end       End
		want      Reason
		inRequest bool
	}{
		"ABRT beyond the timeout":        {gunicorn(killed(unix.SIGABRT), 31*s, true), Timeout, true},
		"KILL beyond the timeout":        {gunicorn(killed(unix.SIGKILL), 31*s, true), Timeout, true},
		"its handler of ABRT":            {gunicorn(exited(1), 31*s, true), Timeout, true},
		"since the last look":            {gunicorn(killed(unix.SIGABRT), 29500*time.Millisecond, true), Timeout, true},
		"no request is known":            {gunicorn(killed(unix.SIGABRT), 29500*time.Millisecond, false), Timeout, false},
		"idle at the last look":          {with(gunicorn(killed(unix.SIGKILL), 31*s, false), atEnd), Timeout, true},
		"idle, its handler of ABRT":      {with(gunicorn(exited(1), 30*s, false), atEnd), Timeout, true},
		"idle, ABRT":                     {with(gunicorn(killed(unix.SIGABRT), 32*s, false), atEnd), Timeout, true},
		"it did not begin to serve":      {with(gunicorn(killed(unix.SIGKILL), 31*s, false), func(e *End) { atEnd(e); e.Booting = true }), Timeout, false},
		"just before its timeout":        {with(gunicorn(killed(unix.SIGKILL), 29*s, true), atEnd), Signal, true},
		"1 just before its timeout":      {with(gunicorn(exited(1), 29*s, true), atEnd), Exit, true},
		"at rest for nearly its timeout": {with(gunicorn(killed(unix.SIGKILL), 29*s, false), atEnd), Signal, false},
		"TERM of a stuck one":            {with(gunicorn(killed(unix.SIGTERM), 31*s, true), atEnd), Recycled, false},
		"no status, at its end":          {with(gunicorn(Status{}, 31*s, false), atEnd), Timeout, true},
		"no status, early":               {with(gunicorn(Status{}, 29*s, true), atEnd), Unknown, false},
		"OOM of a stuck one":             {with(gunicorn(killed(unix.SIGKILL), 31*s, false), func(e *End) { atEnd(e); e.OOMKills = 1 }), OOM, false},
		"recycle_worker, at its end":     {with(gunicorn(killed(unix.SIGKILL), 31*s, false), func(e *End) { atEnd(e); e.Asked = true }), Recycled, false},
		"a fresh heartbeat":              {gunicorn(killed(unix.SIGABRT), 3*s, true), Signal, true},
		"KILL and a fresh heartbeat":     {gunicorn(killed(unix.SIGKILL), 3*s, true), Signal, true},
		"1 and a fresh heartbeat":        {gunicorn(exited(1), 3*s, true), Exit, true},
		"at rest, looked at long ago":    {with(gunicorn(killed(unix.SIGKILL), 15*s, false), func(e *End) { e.SinceBeat = time.Minute }), Signal, false},
		"no timeout":                     {with(gunicorn(killed(unix.SIGKILL), time.Hour, true), func(e *End) { e.Limit = 0 }), Signal, true},
		"no heartbeat":                   {with(gunicorn(killed(unix.SIGKILL), 0, true), func(e *End) { e.HasBeat = false }), Signal, true},
		"SEGV beyond the timeout":        {gunicorn(killed(unix.SIGSEGV), 31*s, true), Signal, true},
		"TERM, and the master goes on":   {gunicorn(killed(unix.SIGTERM), 3*s, true), Recycled, false},
		"TERM, with the master":          {with(gunicorn(killed(unix.SIGTERM), 3*s, false), func(e *End) { e.MasterLives = false }), Exit, false},
		"INT, with uWSGI's master":       {with(uwsgi(killed(unix.SIGINT), 0), func(e *End) { e.MasterLives = false }), Exit, false},
		"SEGV, with the master":          {with(gunicorn(killed(unix.SIGSEGV), 3*s, false), func(e *End) { e.MasterLives = false }), Signal, false},
		"uWSGI's harakiri":               {uwsgi(killed(unix.SIGKILL), 29500*time.Millisecond), Timeout, true},
		"uWSGI, KILL early":              {uwsgi(killed(unix.SIGKILL), 3*s), Signal, true},
		"uWSGI, KILL at rest":            {uwsgi(killed(unix.SIGKILL), 0), Signal, false},
		"uWSGI, ABRT is not its":         {uwsgi(killed(unix.SIGABRT), 31*s), Signal, true},
		"another server has no timeout":  {with(gunicorn(killed(unix.SIGKILL), time.Hour, true), func(e *End) { e.Server = cmdline.Uvicorn }), Signal, true},
		"OOM":                            {with(gunicorn(killed(unix.SIGKILL), 3*s, true), func(e *End) { e.OOMKills = 1 }), OOM, true},
		"OOM beyond the timeout":         {with(gunicorn(killed(unix.SIGKILL), 31*s, true), func(e *End) { e.OOMKills = 1 }), OOM, true},
		"OOM of another":                 {with(gunicorn(killed(unix.SIGSEGV), 3*s, true), func(e *End) { e.OOMKills = 1 }), Signal, true},
		"OOM of another, exited":         {with(gunicorn(exited(0), 3*s, true), func(e *End) { e.OOMKills = 1 }), Recycled, false},
		"OOM, no status":                 {with(gunicorn(Status{}, 3*s, true), func(e *End) { e.OOMKills = 1 }), OOM, true},
		"max_requests":                   {gunicorn(exited(0), 0, true), Recycled, false},
		"it stops with its master":       {with(gunicorn(exited(0), 0, false), func(e *End) { e.MasterLives = false }), Exit, false},
		"it finishes, then stops":        {with(gunicorn(exited(0), 3*s, true), func(e *End) { e.MasterLives = false }), Exit, false},
		"its graceful timeout":           {with(gunicorn(killed(unix.SIGKILL), 3*s, true), func(e *End) { e.MasterLives = false }), Signal, true},
		"uWSGI stops with a request":     {with(uwsgi(exited(30), 3*s), func(e *End) { e.MasterLives = false }), Exit, false},
		"uWSGI reloads":                  {uwsgi(exited(17), 0), Recycled, false},
		"uWSGI without an app":           {uwsgi(exited(22), 0), Exit, false},
		"17 of gunicorn":                 {gunicorn(exited(17), 0, false), Exit, false},
		"os._exit(3)":                    {gunicorn(exited(3), 0, true), Exit, true},
		"recycle_worker":                 {with(gunicorn(exited(0), 0, false), func(e *End) { e.Asked, e.MasterLives = true, false }), Recycled, false},
		"recycle_worker of a stuck one":  {with(gunicorn(killed(unix.SIGKILL), 31*s, true), func(e *End) { e.Asked = true }), Recycled, false},
		"no status":                      {gunicorn(Status{}, 3*s, true), Unknown, false},
		"no status, beyond the timeout":  {gunicorn(Status{}, 31*s, true), Timeout, true},
		"no status, perhaps the timeout": {gunicorn(Status{}, 29500*time.Millisecond, true), Unknown, false},
		"no status, recycle_worker":      {with(gunicorn(Status{}, 3*s, true), func(e *End) { e.Asked = true }), Recycled, false},
		"nothing is known of it":         {End{}, Unknown, false},
		"exited, nothing else is known":  {End{Status: exited(0)}, Exit, false},
		"killed before its first look":   {End{Status: killed(unix.SIGKILL)}, Signal, false},
	} {
		if got := Decide(c.end); got != c.want || c.end.InRequest(got) != c.inRequest {
			t.Errorf("%s: %s, in a request %t", name, got, c.end.InRequest(got))
		}
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint32]Status{
		0: {Known: true}, 3 << 8: {Known: true, Code: 3}, 9: {Known: true, Signal: unix.SIGKILL}, 11 | 0x80: {Known: true, Signal: unix.SIGSEGV}, 0x137f: {},
	} {
		if got := statusOf(n); got != want {
			t.Errorf("%#x is %+v", n, got)
		}
	}
}

func TestLimitFrom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server cmdline.Server
		argv   []string
		want   time.Duration
	}{
		"the default":   {cmdline.Gunicorn, []string{"gunicorn", "app:app"}, 30 * time.Second},
		"of its title":  {cmdline.Gunicorn, []string{"gunicorn: master [app:app]"}, 30 * time.Second},
		"none is known": {cmdline.Gunicorn, nil, 30 * time.Second},
		"long":          {cmdline.Gunicorn, []string{"gunicorn", "--timeout", "2", "app:app"}, 2 * time.Second},
		"with =":        {cmdline.Gunicorn, []string{"gunicorn", "--timeout=120"}, 2 * time.Minute},
		"short":         {cmdline.Gunicorn, []string{"gunicorn", "-t5"}, 5 * time.Second},
		"off":           {cmdline.Gunicorn, []string{"gunicorn", "--timeout", "0"}, 0},
		"nonsense":      {cmdline.Gunicorn, []string{"gunicorn", "--timeout", "-1"}, 0},
		"huge":          {cmdline.Gunicorn, []string{"gunicorn", "--timeout", "99999999999999999999"}, 0},
		"harakiri":      {cmdline.UWSGI, []string{"uwsgi", "--harakiri", "20"}, 20 * time.Second},
		"no harakiri":   {cmdline.UWSGI, []string{"uwsgi", "--timeout", "20"}, 0},
		"another":       {cmdline.Uvicorn, []string{"uvicorn", "--timeout", "20"}, 0},
	} {
		if got := limitFrom(c.server, c.argv); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{"": 0, "pgfault 1\noom_kill 7\nnuma 3\n": 7, "xoom_kill 7\n": 0, "oom_kill x\n": 0, "oom_kill_disable 4\n": 0} {
		if got := parseOOMKills([]byte(text)); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	line := []byte("12 (a) b (c) S 1 2 3")
	for field, want := range map[int]uint64{4: 1, 5: 2, 6: 3} {
		if got, ok := statField(line, field); !ok || got != want {
			t.Errorf("field %d is %d, %t", field, got, ok)
		}
	}
	for _, field := range []int{0, 2, 3, 7, 100} {
		if n, ok := statField(line, field); ok {
			t.Errorf("field %d is %d", field, n)
		}
	}
	if _, ok := statField([]byte("12 a S 1"), 4); ok {
		t.Error("a line without a name")
	}
}

// For any contents of the file, reading a field ends, and the result is a part of it.
func FuzzStatField(f *testing.F) {
	f.Add([]byte("12 (a) S 1 2 3"), 4)
	f.Add([]byte(")))"), 3)
	f.Fuzz(func(t *testing.T, b []byte, field int) {
		if n, ok := statField(b, field); ok && (field < 3 || !bytes.Contains(b, strconv.AppendUint(nil, n, 10))) {
			t.Errorf("field %d of %q is %d", field, b, n)
		}
	})
}
