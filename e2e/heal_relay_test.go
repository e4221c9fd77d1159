package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	endian "encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/rules"
	relaytrial "github.com/resp-exporter/resp-exporter/e2e/trials/relay"
)

// relayRights are the rights of docs/redis.md for the relay, in addition to redisRights.
const relayRights = relaytrial.Rights

// relaying is a fleet of exporters with one Redis.
type relaying struct {
	redis *redisServer
	token string // the file
}

func startRelaying(t *testing.T) *relaying {
	t.Helper()
	r := &relaying{token: write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")}
	if err := os.Chmod(r.token, 0o600); err != nil {
		t.Fatal(err)
	}
	r.redis = startRedis(t, append(redisUserArgs(), strings.Fields(relayRights)...)...)
	r.redis.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(relayRights)...)...)
	if page, err := os.ReadFile("../docs/redis.md"); err != nil || !strings.Contains(string(page), relayRights) {
		t.Errorf("docs/redis.md does not give %s, %v", relayRights, err)
	}
	return r
}

// exporter starts the exporter of a host. state is its directory.
func (r *relaying) exporter(t *testing.T, host, state string) *exporter {
	t.Helper()
	x := watch(t, export{
		config: redisSection(t, "cache", r.redis.url()) + joined(
			"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: "+r.token, "  identity: {label: instance, value: "+strconv.Quote(host)+"}", "  relay: {redis: cache}",
			"  rules:", "    - name: ill", "      match: {alertname: Ill}", "      cooldown: 1s",
			"      steps: [{action: run_command, timeout: 5s, verify_within: 1s, with: {argv: [/bin/true]}}]"),
		args: []string{"--state.dir=" + state},
	})
	eventually(t, 30*time.Second, func() error { return x.scrape(t).want(1, "resp_heal_relay_up") })
	return x
}

// tell posts an alert about a host, which began then, and returns the status.
func (r *relaying) tell(t *testing.T, x *exporter, host string, began time.Time) int {
	t.Helper()
	body, err := rules.Notification(map[string]string{"alertname": "Ill", "instance": host}, nil, began.Truncate(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	status, _, err := x.post("/api/v1/alerts", string(body), healToken)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// ran waits until an exporter has carried out so many runs.
func ran(t *testing.T, x *exporter, runs float64) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		return x.scrape(t).want(runs, "resp_heal_runs_total", "action=run_command", "result=verified")
	})
}

// signed returns the fields of an entry with its HMAC, as docs/security.md describes it.
func signed(to, item, key string, sent time.Time, alert string) []string {
	ms := strconv.FormatInt(sent.UnixMilli(), 10)
	h := hmac.New(sha256.New, []byte(healToken))
	for _, f := range []string{"resp-exporter relay entry 2", to, item, key, ms, ms, alert} {
		var length [8]byte
		endian.BigEndian.PutUint64(length[:], uint64(len(f)))
		_, _ = h.Write(append(length[:], f...))
	}
	return []string{"to", to, "item", item, "key", key, "got", ms, "sent", ms, "alert", alert, "mac", hex.EncodeToString(h.Sum(nil))}
}

// TestRelay checks two exporters of which one receives what is about the other.
func TestRelay(t *testing.T) {
	t.Parallel()
	r := startRelaying(t)
	stateA, stateB := filepath.Join(openDir(t), "state"), filepath.Join(openDir(t), "state")
	a, b := r.exporter(t, "a:9868", stateA), r.exporter(t, "b:9868", stateB)

	// A hands B its alert, twice, and B acts once.
	now := time.Now() // of all alerts: one that begins in another second is another one
	for range 2 {
		if status := r.tell(t, a, "b:9868", now.Add(-time.Hour)); status != http.StatusAccepted {
			t.Fatalf("status %d", status)
		}
	}
	ran(t, b, 1)
	eventually(t, 30*time.Second, func() error {
		m := a.scrape(t)
		return all(m.want(1, "resp_heal_relay_alerts_total", "outcome=delivered"), m.want(0, "resp_heal_relay_waiting"))
	})

	// Without the Redis the answer is 503. After it came back, without its data, the alert is taken.
	r.redis.proc.Stop()
	if status := r.tell(t, a, "b:9868", now.Add(-2*time.Hour)); status != http.StatusServiceUnavailable {
		t.Errorf("without a Redis: status %d", status)
	}
	r.redis.start()
	eventually(t, 60*time.Second, func() error {
		if status := r.tell(t, a, "b:9868", now.Add(-2*time.Hour)); status != http.StatusAccepted {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	ran(t, b, 2)

	// The Redis loses its data while the alert waits for B.
	b.Stop()
	sends := func() float64 {
		n, _ := a.scrape(t).sum("resp_heal_relay_sends_total")
		return n
	}
	before := sends()
	if status := r.tell(t, a, "b:9868", now.Add(-3*time.Hour)); status != http.StatusAccepted {
		t.Fatalf("status %d", status)
	}
	eventually(t, 30*time.Second, func() error {
		if sends() == before {
			return fmt.Errorf("nothing is sent")
		}
		return nil
	})
	r.redis.proc.Stop()
	r.redis.start()
	b = r.exporter(t, "b:9868", stateB)
	ran(t, b, 1) // of this process
	r.hostile(t, b)

	// A host without an exporter is counted and shown.
	r.redis.cli("SET", "resp:heal:relay:continuous", "1", "EX", "60")
	if status := r.tell(t, a, "nobody:1", now.Add(-time.Hour)); status != http.StatusAccepted {
		t.Errorf("nobody: status %d", status)
	}
	if err := a.scrape(t).want(1, "resp_heal_relay_alerts_total", "outcome=unregistered"); err != nil {
		t.Error(err)
	}
	if _, page, err := a.get("/"); err != nil || !strings.Contains(page, "nobody:1") {
		t.Errorf("the page does not name the host, %v", err)
	}
	for k := range strings.FieldsSeq(r.redis.cli("KEYS", "*")) {
		if !strings.HasPrefix(k, "resp:heal:relay:") || r.redis.cli("TTL", k) == "-1" {
			t.Errorf("%s would stay for ever", k)
		}
	}
}

// hostile writes entries into the stream of b that must be dropped.
func (r *relaying) hostile(t *testing.T, b *exporter) {
	t.Helper()
	const me, item, alert = "instance=b:9868", "0123456789abcdef0123456789abcdef", `{"labels":{"alertname":"Ill","instance":"b:9868"},"starts_at":"2026-01-02T03:04:05Z","fingerprint":"ab"}`
	key := "ab-" + strconv.FormatInt(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano(), 10) + "-firing"
	forged := signed(me, item, key, time.Now(), alert)
	forged[len(forged)-1] = strings.Repeat("0", 64)
	for outcome, fields := range map[string][]string{
		"forged": forged, "stale": signed(me, item, key, time.Now().Add(-6*time.Minute), alert),
		"misaddressed": signed("instance=c:9868", item, key, time.Now(), alert), "malformed": signed(me, item, "other", time.Now(), alert),
	} {
		r.redis.cli("XADD", append([]string{"resp:heal:relay:stream:{" + me + "}", "*"}, fields...)...)
		eventually(t, 30*time.Second, func() error {
			return b.scrape(t).want(1, "resp_heal_relay_entries_total", "outcome="+outcome)
		})
	}
	ran(t, b, 1)
	// The same entry with its right HMAC is taken: the ones above were dropped for their faults alone.
	r.redis.cli("XADD", append([]string{"resp:heal:relay:stream:{" + me + "}", "*"}, signed(me, item, key, time.Now(), alert)...)...)
	ran(t, b, 2)
	r.redis.cli("XADD", append([]string{"resp:heal:relay:stream:{" + me + "}", "*"}, signed(me, item, key, time.Now(), alert)...)...)
	eventually(t, 30*time.Second, func() error {
		return b.scrape(t).want(1, "resp_heal_relay_entries_total", "outcome=duplicate")
	})
	ran(t, b, 2)
}
