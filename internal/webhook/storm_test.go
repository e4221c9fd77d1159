package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/webhook"
)

// slowAction runs for long, so that the queue of the runner is full.
type slowAction struct{}

func (slowAction) Target(a action.Alert) string { return "app:" + a.Labels["app"] }

func (slowAction) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
	return action.Plan{Target: "app:" + req.Alert.Labels["app"], Cleared: true}, nil
}

func (slowAction) Apply(context.Context, action.Plan) (int, error) { return 0, nil }

func (slowAction) Verify(context.Context, action.Plan) (action.Outcome, error) {
	return action.Verified, nil
}

// BenchmarkStorm sends notifications of new alerts while the queue is full. It checks
// that each status is 202 or 503 and that accepted alerts are in the journal, and
// reports the memory: go test ./internal/webhook -run xxx -bench Storm -benchtime 10000x.
func BenchmarkStorm(b *testing.B) {
	dir := b.TempDir()
	r := heal.New(heal.Options{StateDir: dir})
	h := config.Default().Healing
	h.Mode, h.Warmup = config.HealEnforce, 0
	h.Rules = []config.HealingRule{{
		Name: "storm", Match: map[string]string{"alertname": "X"}, Cooldown: time.Minute, Steps: []config.HealingStep{config.NewHealingStep(config.ActionKillLeaked)},
	}}
	apply, err := r.Prepare(h, func(config.HealingStep) (action.Action, error) { return slowAction{}, nil })
	if err != nil {
		b.Fatal(err)
	}
	apply()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	mux := http.NewServeMux()
	webhook.New(webhook.Options{Runner: r, TokenFile: func() string { return "" }}).Register(mux)

	before := heapMB()
	codes := map[int]int{}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		body := strings.Replace(one, `"alertname":"X"`, fmt.Sprintf(`"alertname":"X","app":"a%d"`, n), 1)
		req := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/alerts", strings.NewReader(strings.Replace(body, "c1f02a", fmt.Sprintf("%x", n), 1)))
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		codes[rec.Code]++
	}
	b.StopTimer()
	after := heapMB()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if codes[202]+codes[503] != n {
		b.Errorf("answers %v", codes)
	}
	s, err := journal.Open(dir, journal.FileSize)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	runs := map[string]bool{}
	if err := s.Replay(time.Now(), func(l journal.Line) {
		e := l.Entry
		if e.Run != nil {
			runs[e.Run.ID] = true
		}
	}); err != nil {
		b.Fatal(err)
	}
	if len(runs) != codes[202] {
		b.Errorf("%d runs in the journal, %d were accepted", len(runs), codes[202])
	}
	b.ReportMetric(float64(codes[202]), "accepted")
	b.ReportMetric(float64(after-before), "MB-more")
}

func heapMB() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc >> 20) //nolint:gosec // far below
}
