package relay

import (
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// MaxWaiting is how many alerts may wait.
const MaxWaiting = maxWaiting

// Send sends what waits once.
func (r *Relay) Send(t *testing.T) {
	t.Helper()
	if err := r.sendWaiting(t.Context()); err != nil {
		t.Error(err)
	}
}

// Hold keeps notifications from being accepted until unlock is called.
func (r *Relay) Hold(t *testing.T) (unlock func()) {
	t.Helper()
	unlock, err := r.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// Queued returns how many notifications nobody has begun to accept.
func (r *Relay) Queued() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queued)
}

// SignedEntry returns an entry of an alert, signed by a token.
func SignedEntry(token, to string, a action.Alert, sent time.Time) relaystream.Entry {
	alert, err := encodeAlert(a)
	if err != nil {
		panic(err)
	}
	e := relaystream.Entry{To: to, Item: newItem(), Key: keyOf(a), Got: sent.UnixMilli(), Sent: sent.UnixMilli(), Alert: alert}
	e.MAC = signature(token, &e)
	return e
}

// Sign signs an entry.
func Sign(token string, e *relaystream.Entry) { e.MAC = signature(token, e) }

// Check returns the outcome of an entry; "": it is taken.
func Check(token, me string, e relaystream.Entry, now time.Time) Outcome {
	_, fault := check(token, me, &e, now)
	return fault
}

// MAC signs fields.
func MAC(token string, fields ...[]byte) string { return mac(token, fields...) }

// AddressOf returns an address.
func AddressOf(label, value string) string { return addressOf(label, value) }
