package collectors_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
)

func TestLacks(t *testing.T) {
	one := &collectors.Unavailable{Reason: collectors.Permission, Detail: "one", Of: "app:shop"}
	two := &collectors.Unavailable{Reason: collectors.Busy, Detail: "two"}
	extra := &collectors.Unavailable{Reason: collectors.Unsupported, Detail: "extra", Optional: true}
	for name, c := range map[string]struct {
		err    error
		lacks  string // reason and sentence of each
		reason collectors.Reason
		detail string
	}{
		"nothing":                    {nil, "", collectors.OK, ""},
		"one":                        {one, "permission one", collectors.Permission, "one"},
		"wrapped":                    {fmt.Errorf("look: %w", one), "permission one", collectors.Permission, "one"},
		"two":                        {errors.Join(one, nil, two), "permission one, busy two", collectors.Permission, "one; two"},
		"the same again":             {errors.Join(one, one), "permission one, permission one", collectors.Permission, "one"},
		"nested":                     {errors.Join(errors.Join(two), fmt.Errorf("look: %w", one)), "busy two, permission one", collectors.Busy, "two; one"},
		"optional only":              {extra, "unsupported extra", collectors.OK, ""},
		"optional first":             {errors.Join(extra, one), "unsupported extra, permission one", collectors.Permission, "one"},
		"unforeseen":                 {errors.New("odd"), "failed odd", collectors.Failed, "odd"},
		"late":                       {fmt.Errorf("read: %w", context.DeadlineExceeded), "timeout no response within the time budget of the scrape", collectors.Timeout, "no response within the time budget of the scrape"},
		"an Unavailable goes before": {errors.Join(errors.New("odd"), one), "permission one, failed odd", collectors.Permission, "one; odd"},
		"optional and odd":           {errors.Join(extra, errors.Join(errors.New("odd"))), "unsupported extra, failed odd", collectors.Failed, "odd"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, u := range collectors.Lacks(c.err) {
				got = append(got, string(u.Reason)+" "+u.Detail)
			}
			if s := strings.Join(got, ", "); s != c.lacks {
				t.Errorf("missing is %q, want %q", s, c.lacks)
			}
			if reason, detail := collectors.ReasonOf(c.err); reason != c.reason || detail != c.detail {
				t.Errorf("%s %q, want %s %q", reason, detail, c.reason, c.detail)
			}
		})
	}
}

// The length of the reason is limited for any number of apps.
func TestReasonIsBounded(t *testing.T) {
	var errs []error
	for i := range 50 {
		errs = append(errs, &collectors.Unavailable{Reason: collectors.Permission, Detail: fmt.Sprint(i)})
	}
	if _, detail := collectors.ReasonOf(errors.Join(errs...)); !strings.HasPrefix(detail, "0; 1; 2; ") || !strings.HasSuffix(detail, "; 19; and 30 more") {
		t.Error(detail)
	}
}

// The set keeps the lacks of the last read, and optional ones do not affect availability.
func TestSetLacks(t *testing.T) {
	err := error(&collectors.Unavailable{Reason: collectors.Unsupported, Detail: "extra", Remedy: "set it", Optional: true})
	s := collectors.NewSet([]collectors.Collector{&stub{name: "a", do: func(context.Context) (collectors.Sample, error) { return collectors.Sample{}, err }}}, []string{"off"}, silent)
	wantLines(t, read(t, s, time.Second), "resp_collector_available a ok 1", "resp_scrape_collector_success a 1")
	if got := s.Lacks("a"); len(got) != 1 || got[0].Remedy != "set it" {
		t.Errorf("got %v", got)
	}
	err = nil
	read(t, s, time.Second)
	if got := append(s.Lacks("a"), s.Lacks("none")...); len(got) > 0 {
		t.Errorf("got %v after it was well again", got)
	}
	if off := s.Off(); len(off) != 1 || off[0] != "off" {
		t.Errorf("off are %v", off)
	}
}
