package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const me = "instance=b"
	now := time.Now()
	signed := func(change func(*relaystream.Entry)) relaystream.Entry {
		e := relay.SignedEntry(token, me, alert("Ill", "b"), now)
		change(&e)
		relay.Sign(token, &e)
		return e
	}
	forged := func(change func(*relaystream.Entry)) relaystream.Entry {
		e := relay.SignedEntry(token, me, alert("Ill", "b"), now)
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		e    relaystream.Entry
		want relay.Outcome
	}{
		"right":           {relay.SignedEntry(token, me, alert("Ill", "b"), now), ""},
		"5 minutes":       {relay.SignedEntry(token, me, alert("Ill", "b"), now.Add(-299*time.Second)), ""},
		"older":           {relay.SignedEntry(token, me, alert("Ill", "b"), now.Add(-301*time.Second)), relay.Stale},
		"future":          {relay.SignedEntry(token, me, alert("Ill", "b"), now.Add(301*time.Second)), relay.Stale},
		"another address": {relay.SignedEntry(token, "instance=c", alert("Ill", "b"), now), relay.Misaddressed},
		"another token":   {relay.SignedEntry("another", me, alert("Ill", "b"), now), relay.Forged},
		"address changed": {forged(func(e *relaystream.Entry) { e.To = "instance=c" }), relay.Forged},
		"time changed":    {forged(func(e *relaystream.Entry) { e.Sent++ }), relay.Forged},
		"item changed":    {forged(func(e *relaystream.Entry) { e.Item = strings.Repeat("0", 32) }), relay.Forged},
		"key changed":     {forged(func(e *relaystream.Entry) { e.Key += "x" }), relay.Forged},
		"alert changed":   {forged(func(e *relaystream.Entry) { e.Alert = append(e.Alert, ' ') }), relay.Forged},
		"no signature":    {forged(func(e *relaystream.Entry) { e.MAC = "" }), relay.Forged},
		"nothing":         {relaystream.Entry{ID: "1-1"}, relay.Forged},
		"bytes moved": {forged(func(e *relaystream.Entry) {
			e.Key, e.Item = e.Item[len(e.Item)-1:]+e.Key, e.Item[:len(e.Item)-1]
		}), relay.Forged},
		"too large":      {signed(func(e *relaystream.Entry) { e.Alert = make([]byte, 64<<10) }), relay.TooLarge},
		"no JSON":        {signed(func(e *relaystream.Entry) { e.Alert = []byte("{") }), relay.Malformed},
		"no labels":      {signed(func(e *relaystream.Entry) { e.Alert = []byte("{}") }), relay.Malformed},
		"another's key":  {signed(func(e *relaystream.Entry) { e.Key = "x" }), relay.Malformed},
		"no item":        {signed(func(e *relaystream.Entry) { e.Item = "" }), relay.Malformed},
		"item not a hex": {signed(func(e *relaystream.Entry) { e.Item = strings.Repeat("x", 32) }), relay.Malformed},
	} {
		if got := relay.Check(token, me, c.e, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// No two lists of fields are signed as the same bytes.
func TestMAC(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, fields := range [][][]byte{
		{}, {{}}, {{}, {}}, {[]byte("ab")}, {[]byte("a"), []byte("b")}, {[]byte("ab"), {}}, {{}, []byte("ab")}, {[]byte("a\x00\x00\x00\x00\x00\x00\x00\x01b")},
	} {
		m := relay.MAC(token, fields...)
		if seen[m] {
			t.Errorf("%q is signed as another one", fields)
		}
		seen[m] = true
	}
	if got := relay.MAC("key"); got != "5d5d139563c95b5967b9bd9a8c9b233a9dedb45072794cd232dc1b74832607d0" { // openssl dgst -sha256 -hmac key </dev/null
		t.Errorf("not HMAC-SHA256: %s", got)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"web-1:9868": "instance=web-1:9868", "": "", "a\nb": "", "a b=c}": "instance=a b=c}", strings.Repeat("x", 392): "",
	} {
		if got := relay.AddressOf("instance", value); got != want {
			t.Errorf("%q: %q", value, got)
		}
	}
}
