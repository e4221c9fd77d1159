package main

import "github.com/resp-exporter/resp-exporter/grafana/generate/model"

// What a dashboard consists of.
type (
	span           = model.Span
	dashLink       = model.DashLink
	templating     = model.Templating
	variable       = model.Variable
	varQuery       = model.VarQuery
	varSelected    = model.VarSelected
	dsRef          = model.DsRef
	annotations    = model.Annotations
	annotation     = model.Annotation
	panelLink      = model.PanelLink
	target         = model.Target
	field          = model.Field
	color          = model.Color
	thresholds     = model.Thresholds
	step           = model.Step
	mapping        = model.Mapping
	shown          = model.Shown
	matcher        = model.Matcher
	transformation = model.Transformation
)

// dashboard is one of them, while it is built.
type dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	ID            *int        `json:"id"` // null: Grafana assigns one
	SchemaVersion int         `json:"schemaVersion"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"` // 1: one cross hair for all panels
	Refresh       string      `json:"refresh"`
	Time          span        `json:"time"`
	Timezone      string      `json:"timezone"`
	Links         []dashLink  `json:"links"`
	Templating    templating  `json:"templating"`
	Annotations   annotations `json:"annotations"`
	Panels        []*panel    `json:"panels"`

	y      int // where the next line of panels begins
	folded int // panels within collapsed rows
}

// panel is one panel, or a row.
type panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description,omitempty"`
	Datasource      *dsRef           `json:"datasource,omitempty"`
	GridPos         gridPos          `json:"gridPos"`
	MaxDataPoints   int              `json:"maxDataPoints,omitempty"`
	Links           []panelLink      `json:"links,omitempty"`
	Targets         []target         `json:"targets,omitempty"`
	FieldConfig     *fieldConfig     `json:"fieldConfig,omitempty"`
	Options         any              `json:"options,omitempty"`
	Transformations []transformation `json:"transformations,omitempty"`
	Collapsed       *bool            `json:"collapsed,omitempty"` // of a row
	Panels          *[]*panel        `json:"panels,omitempty"`    // of a row
}

// fieldConfig describes how values are shown.
type fieldConfig struct {
	Defaults  field      `json:"defaults"`
	Overrides []override `json:"overrides"`
}

// override changes how some fields are shown.
type override struct {
	Matcher    matcher    `json:"matcher"`
	Properties []property `json:"properties"`
}

// property is one thing that an override changes.
type property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// gridPos is a place on the grid, 24 columns wide.
type gridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}
