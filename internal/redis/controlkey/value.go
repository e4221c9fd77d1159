// Package controlkey hands what an exporter asks of an app to the workers of the app on
// other hosts: a key of one Redis for each app, signed and with a short expiry, which
// resp_flask.py follows as it does the control file of its own host.
package controlkey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// The bounds of a value, as resp_flask.py has them.
const (
	// Prefix is what the keys begin with; the name of the app follows.
	Prefix = "resp:control:"
	// expiry is how long a value lasts that is not written again.
	expiry = 5 * time.Second
	// maxSkew is how far the clocks of two hosts may differ.
	maxSkew = time.Minute
	// maxValue is more than the bytes of any value that an exporter writes.
	maxValue = 4096
	// MinKey is the least number of bytes of a secret.
	MinKey = 16

	purpose = "resp-exporter control 1"
)

// value is the content of a key.
type value struct {
	Version  int    `json:"version"`
	By       string `json:"by"`       // the exporter
	Sent     int64  `json:"sent"`     // Unix time in ms
	Document string `json:"document"` // as in the control file
	MAC      string `json:"mac"`      // hexadecimal
}

// seal returns the signed value of a document for an app.
func seal(secret, app, by string, sent time.Time, document []byte) (string, error) {
	v := value{Version: 1, By: by, Sent: sent.UnixMilli(), Document: string(document)}
	v.MAC = v.signature(secret, app)
	b, err := json.Marshal(v)
	return string(b), err
}

// opened returns the value of a key that an exporter with the same secret has signed for
// the app within a minute of now, before or after; ok is false for any other text, and v
// then not to be used.
func opened(secret, app, text string, now time.Time) (v value, ok bool) {
	if len(text) > maxValue || json.Unmarshal([]byte(text), &v) != nil || v.Version != 1 {
		return value{}, false
	}
	age := now.Sub(time.UnixMilli(v.Sent))
	return v, hmac.Equal([]byte(v.MAC), []byte(v.signature(secret, app))) && age <= maxSkew && age >= -maxSkew
}

// signature returns the HMAC-SHA256 of the value for an app, in hexadecimal. Each field is
// preceded by its length, so that no two lists of fields are the same bytes.
func (v *value) signature(secret, app string) string {
	h := hmac.New(sha256.New, []byte(secret))
	for _, f := range []string{purpose, app, v.By, strconv.FormatInt(v.Sent, 10), v.Document} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(f)))
		_, _ = h.Write(length[:]) // never fails
		_, _ = h.Write([]byte(f))
	}
	return hex.EncodeToString(h.Sum(nil))
}
