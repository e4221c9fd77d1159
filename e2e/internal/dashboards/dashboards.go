// Package dashboards reads Grafana dashboards in the classic JSON model, returns their
// queries as Prometheus would get them, and lints them.
package dashboards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Dashboard is one file of dashboards, the fields that queries and lint need.
type Dashboard struct {
	File        string // its base name
	UID         string
	Title       string
	Panels      []Panel // those of collapsed rows too, right after their row
	Variables   []Variable
	Annotations []Annotation
	Links       []Link
	Tags        []string
	Raw         map[string]any // all of the file
}

// Datasource names a data source, or the variable that holds one.
type Datasource struct{ Type, UID string }

// Panel is one panel, or a row.
type Panel struct {
	ID              int
	Type            string
	Title           string
	Description     string
	Interval        string // the least step, "1m"
	Collapsed       bool
	Repeat          string
	Datasource      *Datasource
	GridPos         Grid
	Targets         []Target
	FieldConfig     FieldConfig
	Options         map[string]any
	Links           []Link
	Transformations []Transformation
	Panels          []Panel // of a collapsed row
	Row             int     `json:"-"` // the id of the collapsed row that holds it, or 0
}

// Grid is a place on the grid, 24 columns wide.
type Grid struct{ X, Y, W, H int }

// Target is one query of a panel.
type Target struct {
	Datasource   *Datasource
	RefID        string
	Expr         string
	Interval     string // the least step of this query
	LegendFormat string
	Format       string
	Instant      bool
	Range        bool
	Hide         bool
}

// FieldConfig describes how values are shown.
type FieldConfig struct {
	Defaults  Field
	Overrides []Override
}

// Field is how one field is shown.
type Field struct {
	Unit       string
	NoValue    string
	Decimals   *int
	Min, Max   *float64
	Color      *struct{ Mode, FixedColor string }
	Thresholds *Thresholds
	Mappings   []Mapping
	Links      []Link
	Custom     map[string]any
}

// Thresholds are steps of color. The first step has no value.
type Thresholds struct {
	Mode  string
	Steps []struct {
		Value *float64
		Color string
	}
}

// Mapping maps values to texts.
type Mapping struct {
	Type    string
	Options json.RawMessage
}

// Override changes how some fields are shown.
type Override struct {
	Matcher struct {
		ID      string
		Options any
	}
	Properties []Property
}

// Property is one thing that an override changes.
type Property struct {
	ID    string
	Value json.RawMessage
}

// Transformation is one step between queries and fields.
type Transformation struct {
	ID      string
	Options json.RawMessage
}

// Link is a link of a dashboard, of a panel, or of a value.
type Link struct {
	Title       string
	Type        string // of a dashboard's link: dashboards or link
	Tags        []string
	URL         string
	KeepTime    bool
	IncludeVars bool
	AsDropdown  bool
}

// Variable is one variable. Query is an object in some versions of Grafana, so
// read it with Definition.
type Variable struct {
	Name       string
	Type       string
	Label      string
	Datasource *Datasource
	Query      any
	Refresh    int
	Multi      bool
	IncludeAll bool
	Hide       int
	AllValue   *string
	Current    struct{ Value any }
}

// Annotation is one query for annotations. Grafana's own has no Expr.
type Annotation struct {
	Name       string
	Datasource *Datasource
	BuiltIn    int
	Enable     bool
	Expr       string
	Target     struct{ Expr, RefID string }
	Step       string

	UseValueForTime bool // the value is the time, in milliseconds since 1970
}

// Load reads all dashboards of dir, *.json, by name. A key that is there twice
// and text after the end are errors; it is an error if there is no file.
func Load(dir string) ([]Dashboard, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("dashboards: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("dashboards: no *.json in %s", dir)
	}
	var out []Dashboard
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("dashboards: %w", err)
		}
		d, err := Parse(filepath.Base(name), text)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Parse reads one dashboard; file is its name in messages.
func Parse(file string, text []byte) (Dashboard, error) {
	d := Dashboard{File: file}
	if err := strict(text); err != nil {
		return d, fmt.Errorf("dashboards: %s: %w", file, err)
	}
	var model struct {
		UID, Title  string
		Panels      []Panel
		Links       []Link
		Tags        []string
		Templating  struct{ List []Variable }
		Annotations struct{ List []Annotation }
	}
	if err := errors.Join(json.Unmarshal(text, &model), json.Unmarshal(text, &d.Raw)); err != nil {
		return d, fmt.Errorf("dashboards: %s: %w", file, err)
	}
	d.UID, d.Title, d.Links, d.Tags = model.UID, model.Title, model.Links, model.Tags
	d.Variables, d.Annotations = model.Templating.List, model.Annotations.List
	for _, p := range model.Panels {
		d.Panels = append(d.Panels, p)
		for _, inner := range p.Panels {
			inner.Row = p.ID
			d.Panels = append(d.Panels, inner)
		}
	}
	return d, nil
}

// strict returns an error for JSON that encoding/json accepts: the same key twice, or
// more text after the value.
func strict(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := value(dec, "$"); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the end")
	}
	return nil
}

// value reads one value.
func value(dec *json.Decoder, at string) error {
	tok, err := dec.Token()
	if err != nil {
		return fmt.Errorf("at %s: %w", at, err)
	}
	switch tok {
	case json.Delim('['):
		for i := 0; dec.More(); i++ {
			if err := value(dec, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case json.Delim('{'):
		if err := object(dec, at); err != nil {
			return err
		}
	default:
		return nil
	}
	_, err = dec.Token()
	return err
}

// object reads the keys and values of an object up to its end.
func object(dec *json.Decoder, at string) error {
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return fmt.Errorf("at %s: %w", at, err)
		}
		key := fmt.Sprint(tok)
		if seen[key] {
			return fmt.Errorf("at %s: key %q is there twice", at, key)
		}
		seen[key] = true
		if err := value(dec, at+"."+key); err != nil {
			return err
		}
	}
	return nil
}

// span reads a duration as Grafana writes it, "1m" or "30s"; 0 if it is none.
func span(text string) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	var n int
	var unit rune
	if _, err := fmt.Sscanf(text, "%d%c", &n, &unit); err != nil {
		return 0
	}
	days := map[rune]int{'d': 1, 'w': 7, 'y': 365}
	return time.Duration(n*days[unit]) * 24 * time.Hour
}
