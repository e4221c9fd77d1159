package cmdline

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestCeleryOf(t *testing.T) {
	python := "/usr/bin/python3"
	for _, c := range []struct {
		argv  []string
		want  []string // queues; nil: no worker
		child bool
	}{
		{[]string{python, "/usr/bin/celery", "-A", "shop", "worker"}, []string{"celery"}, false},
		{[]string{python, "-m", "celery", "-A", "shop", "worker", "-Q", "a,b", "-c", "2"}, []string{"a", "b"}, false},
		{[]string{python, "-X", "dev", "-W", "ignore", "-u", "-m", "celery", "worker", "--app=shop", "--queues=a, b,a"}, []string{"a", "b"}, false},
		{[]string{"/venv/bin/python3.11", "/venv/bin/celery", "-Ashop", "worker", "-Qmail"}, []string{"mail"}, false},
		{[]string{python, "/usr/bin/celery", "-A", "worker", "worker", "-X", "celery"}, nil, false},
		{[]string{"[celeryd: celery@web-1:MainProcess] -active- (-A shop worker -c 2 -Q celery,mail)"}, []string{"celery", "mail"}, false},
		{[]string{"[celeryd: a:b@web-1:MainProcess] (worker)   "}, []string{"celery"}, false},
		{[]string{"[celeryd: celery@web-1:ForkPoolWorker-12]"}, nil, true},
		{[]string{"[celeryd: celery@web-1:MainProcess]"}, nil, false},
		{[]string{python, "-m", "celery", "-A", "worker", "beat"}, nil, false},
		{[]string{python, "/usr/bin/celery", "-A", "shop", "inspect", "active"}, nil, false},
		{[]string{python, "-c", "import celery", "worker"}, nil, false},
		{[]string{python, "worker.py", "celery", "worker"}, nil, false},
		{[]string{"sh", "-c", "celery -A shop worker"}, nil, false},
		{[]string{"vi", "celery", "worker"}, nil, false},
		{nil, nil, false},
	} {
		id := ParseCelery(c.argv)
		var got []string
		if id != nil {
			got = id.Queues
		}
		if !slices.Equal(got, c.want) || c.child != (id != nil && id.Child) {
			t.Errorf("%q: %+v, want %q, child %t", c.argv, id, c.want, c.child)
		}
	}
	if id := ParseCelery([]string{"[celeryd: celery@web-1:Beat]"}); id == nil || !id.Beat {
		t.Errorf("the scheduler of -B: %+v", id)
	}
}

func FuzzCeleryOf(f *testing.F) {
	f.Add("python3\x00-m\x00celery\x00worker\x00-Q\x00a,b")
	f.Add("[celeryd: celery@h:MainProcess] -active- (-A x worker -Q a,b)")
	f.Fuzz(func(t *testing.T, s string) {
		id := ParseCelery(procfs.ParseCmdline([]byte(s)))
		if id == nil {
			return
		}
		if len(id.Queues) > maxCeleryQueues || id.Child && id.Queues != nil {
			t.Errorf("%q: %+v", s, id)
		}
		for _, q := range id.Queues {
			if q != "celery" && !strings.Contains(s, q) {
				t.Errorf("%q gave the queue %q, which is not in it", s, q)
			}
		}
	})
}
