package appname

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Record is the name of one identity, as it is saved. It has nothing that
// changes with a start of the app.
type Record struct {
	Name  string    `json:"name"`
	Base  string    `json:"base"`
	Owner uint32    `json:"owner"` // user id
	Unit  string    `json:"unit,omitempty"`
	Host  string    `json:"host,omitempty"`
	Bind  string    `json:"bind,omitempty"`
	In    string    `json:"service,omitempty"` // service of the system's manager
	Since time.Time `json:"since"`             // when it was last seen to run
}

// RecordOf returns the record of a reserved name.
func RecordOf(name string, r Reservation) Record {
	return Record{Name: name, Base: r.ID.Base, Owner: uint32(r.Owner), Unit: r.ID.Unit, Host: r.ID.Host, Bind: r.ID.Bind, In: r.Unit, Since: r.Since}
}

// Sound reports whether a record from a file has the form of one that the exporter
// writes.
func (r Record) Sound() bool {
	if r.Name == "" || r.Base == "" || text.Name(WithoutOrdinal(r.Name)) != WithoutOrdinal(r.Name) || text.Name(r.Base) != r.Base || len(r.Name) > MaxName {
		return false
	}
	for _, s := range []string{r.Unit, r.Host, r.Bind, r.In} {
		if text.Label(s, 256) != s && s != "" {
			return false
		}
	}
	return true
}
