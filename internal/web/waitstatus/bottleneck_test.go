package waitstatus_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/web/waitstatus"
)

// An app that is not judged has no bottleneck, one that is judged has its harm, and one
// with a cause all of it.
func TestBottleneck(t *testing.T) {
	t.Parallel()
	s := &model.State{Bottlenecks: []model.Bottleneck{
		{App: "blog", Harm: model.Harm{Latency: new(3.0)}, Evidence: []model.Evidence{{Code: "lost_to", Of: "cpu", Value: 0.5}}},
		{
			App: "shop", Cause: model.CauseDBSlow, Peer: "mysql:main", Since: time.Unix(1_700_000_000, 0), Share: 0.75, Harm: model.Harm{Queue: new(12.0)},
			Evidence: []model.Evidence{{Code: "lost_threads", Of: "mysql:main", Value: 3}},
		},
	}}
	if b := waitstatus.BottleneckOf(s, "no"); b != nil {
		t.Errorf("%+v", b)
	}
	for app, want := range map[string]string{
		"blog": `{"cause":null,"since":null,"harm":{"queue":null,"latency_seconds":3,"stuck_workers":null,"error_rate":null,"task_age_seconds":null},` +
			`"share":null,"peer":null,"sentence":null,"advice":null,"evidence":[{"code":"lost_to","of":"cpu","value":0.5}]}`,
		"shop": `{"cause":"db_slow","since":"2023-11-14T22:13:20Z","harm":{"queue":12,"latency_seconds":null,"stuck_workers":null,"error_rate":null,"task_age_seconds":null},` +
			`"share":0.75,"peer":"mysql:main","sentence":"…","advice":"…","evidence":[{"code":"lost_threads","of":"mysql:main","value":3}]}`,
	} {
		b := waitstatus.BottleneckOf(s, app)
		if b.Cause != nil && (!strings.HasPrefix(*b.Sentence, "shop is held up by ") || *b.Advice == "") {
			t.Errorf("%q, %q", *b.Sentence, *b.Advice)
		}
		if b.Cause != nil {
			b.Sentence, b.Advice = new("…"), new("…")
		}
		got, err := json.Marshal(b)
		if err != nil || string(got) != want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
}
