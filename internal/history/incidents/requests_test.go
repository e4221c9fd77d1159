package incidents

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The route that the app itself reported goes with the stack that was seen from outside, if
// it is certain that both are of one request.
func TestWithRoute(t *testing.T) {
	t.Parallel()
	began := noon().Add(-10 * time.Second)
	get := appside.Request{Method: "GET", Route: "/items", Age: 10 * time.Second}
	post := appside.Request{Method: "POST", Route: "/checkout", Age: 10400 * time.Millisecond}
	old := appside.Request{Method: "GET", Route: "/report", Age: time.Minute}
	for name, c := range map[string]struct {
		stack    *model.Stack
		requests []appside.Request
		want     string
	}{
		"no stack":                {nil, []appside.Request{get}, ""},
		"nothing reported":        {&model.Stack{View: "pay"}, nil, " "},
		"the only one":            {&model.Stack{View: "pay"}, []appside.Request{get}, "GET /items"},
		"the one that began then": {&model.Stack{Started: began}, []appside.Request{old, get}, "GET /items"},
		"by the method":           {&model.Stack{Started: began, Method: "POST"}, []appside.Request{old, post, get}, "POST /checkout"},
		"either":                  {&model.Stack{Started: began}, []appside.Request{post, get}, " "},
		"no start is known":       {&model.Stack{View: "pay"}, []appside.Request{old, get}, " "},
		"another start":           {&model.Stack{Started: began.Add(-30 * time.Second)}, []appside.Request{old, get}, " "},
		"seen from outside":       {&model.Stack{Method: "GET", Route: "/seen"}, []appside.Request{get}, "GET /seen"},
	} {
		before := model.Stack{}
		if c.stack != nil {
			before = *c.stack
		}
		got := withRoute(c.stack, &Ended{At: noon(), Requests: c.requests})
		switch {
		case c.stack == nil:
			if got != nil {
				t.Errorf("%s: %+v", name, got)
			}
		case got.Method+" "+got.Route != c.want || got.View != before.View || *c.stack != before:
			t.Errorf("%s: %+v", name, got)
		}
	}
}
