package relay

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
)

// The bounds of an entry.
const (
	maxEntry   = 64 << 10 // bytes of all its fields
	maxAddress = 400      // bytes
	maxAge     = 5 * time.Minute
	itemLength = 32 // hexadecimal digits
)

// The purposes of a signature: one of an entry is never one of an acknowledgement.
const (
	purposeEntry = "resp-exporter relay entry 2"
	purposeAck   = "resp-exporter relay acknowledgement 1"
)

// content is an alert in an entry and on the disk.
type content struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"starts_at"`
	EndsAt      time.Time         `json:"ends_at,omitzero"`
	Fingerprint string            `json:"fingerprint"`
	Resolved    bool              `json:"resolved,omitempty"`
}

// encodeAlert returns an alert as the JSON of an entry.
func encodeAlert(a action.Alert) ([]byte, error) { return json.Marshal(content(a)) }

// decodeAlert returns the alert in an entry. One without labels is an error.
func decodeAlert(b []byte) (action.Alert, error) {
	var c content
	err := json.Unmarshal(b, &c)
	if err == nil && len(c.Labels) == 0 {
		err = errors.New("an alert without labels")
	}
	return action.Alert(c), err
}

// addressOf returns the address of the exporter that alerts with a value of a label are
// about, "label=value"; "": no exporter can have that address, as the value is empty, too
// long or has control characters. A label's name has no "=".
func addressOf(label, value string) string {
	if value == "" || len(label)+len(value)+1 > maxAddress || !journal.AllShort(maxAddress, value) {
		return ""
	}
	return label + "=" + value
}

// incidentOf returns the key of an alert that is the same while it fires and when it is
// resolved.
func incidentOf(a action.Alert) string {
	return a.Fingerprint + "-" + strconv.FormatInt(a.StartsAt.UnixNano(), 10)
}

// keyOf returns the key of an alert in its present state: firing or resolved.
func keyOf(a action.Alert) string {
	if a.Resolved {
		return incidentOf(a) + "-resolved"
	}
	return incidentOf(a) + "-firing"
}

// newItem returns a new random name for an alert that was accepted, of itemLength
// hexadecimal digits.
func newItem() string {
	b := make([]byte, itemLength/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// mac returns the HMAC-SHA256 of fields by a token, in hexadecimal. Each field is preceded
// by its length, so that no two lists of fields are the same bytes.
func mac(token string, fields ...[]byte) string {
	h := hmac.New(sha256.New, []byte(token))
	for _, f := range fields {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(f)))
		_, _ = h.Write(length[:]) // never fails
		_, _ = h.Write(f)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// signature returns the HMAC of an entry, in hexadecimal.
func signature(token string, e *relaystream.Entry) string {
	decimal := func(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
	return mac(token, []byte(purposeEntry), []byte(e.To), []byte(e.Item), []byte(e.Key), decimal(e.Got), decimal(e.Sent), e.Alert)
}

// acknowledgement returns the answer to an item, as the exporter with an address writes it:
// an HMAC in hexadecimal.
func acknowledgement(token, address, item string) string {
	return mac(token, []byte(purposeAck), []byte(address), []byte(item))
}

// equal reports whether two signatures are equal, in constant time.
func equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// check returns the alert of an entry that is genuine, for me and sent within maxAge of
// now, with the outcome "". Any other outcome says why the entry must be dropped.
func check(token, me string, e *relaystream.Entry, now time.Time) (action.Alert, Outcome) {
	switch age := now.Sub(time.UnixMilli(e.Sent)); {
	case e.Size() > maxEntry:
		return action.Alert{}, TooLarge
	case !equal(e.MAC, signature(token, e)):
		return action.Alert{}, Forged
	case e.To != me:
		return action.Alert{}, Misaddressed
	case age > maxAge || age < -maxAge:
		return action.Alert{}, Stale
	}
	a, err := decodeAlert(e.Alert)
	if err != nil || len(e.Item) != itemLength || strings.Trim(e.Item, "0123456789abcdef") != "" || e.Key != keyOf(a) {
		return action.Alert{}, Malformed // by another version
	}
	return a, ""
}
