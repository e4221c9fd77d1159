// Package model is what a dashboard consists of in Grafana's classic JSON, schema version
// 41, as far as it is used here. The order of the fields is that of the files.
package model

// Span is the time range.
type Span struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// DashLink is a link of a dashboard.
type DashLink struct {
	Title       string   `json:"title"`
	Type        string   `json:"type"`
	Tags        []string `json:"tags"`
	AsDropdown  bool     `json:"asDropdown"`
	IncludeVars bool     `json:"includeVars"`
	KeepTime    bool     `json:"keepTime"`
	TargetBlank bool     `json:"targetBlank"`
	Icon        string   `json:"icon"`
	Tooltip     string   `json:"tooltip"`
	URL         string   `json:"url"`
}

// Templating has the variables.
type Templating struct {
	List []Variable `json:"list"`
}

// Variable is one variable.
type Variable struct {
	Name        string       `json:"name"`
	Label       string       `json:"label"`
	Description string       `json:"description"`
	Type        string       `json:"type"`
	Datasource  *DsRef       `json:"datasource,omitempty"`
	Query       any          `json:"query"`
	Definition  string       `json:"definition,omitempty"`
	Refresh     int          `json:"refresh"` // 2: when the time range changes
	Regex       string       `json:"regex"`
	Sort        int          `json:"sort,omitempty"`
	Multi       bool         `json:"multi"`
	IncludeAll  bool         `json:"includeAll"`
	AllValue    string       `json:"allValue,omitempty"`
	Current     *VarSelected `json:"current,omitempty"`
	Hide        int          `json:"hide"`
}

// VarQuery is the query of a variable.
type VarQuery struct {
	Query string `json:"query"`
	RefID string `json:"refId"`
}

// VarSelected is what a variable begins with.
type VarSelected struct {
	Selected bool     `json:"selected"`
	Text     []string `json:"text"`
	Value    []string `json:"value"`
}

// DsRef names a data source.
type DsRef struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Annotations has the annotations.
type Annotations struct {
	List []Annotation `json:"list"`
}

// Annotation is one query for annotations.
type Annotation struct {
	Name        string `json:"name"`
	Datasource  DsRef  `json:"datasource"`
	Enable      bool   `json:"enable"`
	Hide        bool   `json:"hide"`
	IconColor   string `json:"iconColor"`
	Expr        string `json:"expr"`
	TitleFormat string `json:"titleFormat"`
	TextFormat  string `json:"textFormat"`
	TagKeys     string `json:"tagKeys"`

	UseValueForTime bool `json:"useValueForTime"` // in milliseconds since 1970
}

// PanelLink is a link of a panel or of a value.
type PanelLink struct {
	Title       string `json:"title"`
	URL         string `json:"url"`
	TargetBlank bool   `json:"targetBlank"`
}

// Target is one query of a panel.
type Target struct {
	RefID        string `json:"refId"`
	Datasource   DsRef  `json:"datasource"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	EditorMode   string `json:"editorMode"`
	Range        bool   `json:"range"`
	Instant      bool   `json:"instant"`
	Format       string `json:"format,omitempty"`
}

// Field is how one field is shown.
type Field struct {
	Unit       string         `json:"unit,omitempty"`
	Decimals   *int           `json:"decimals,omitempty"`
	Min        *float64       `json:"min,omitempty"`
	Max        *float64       `json:"max,omitempty"`
	NoValue    string         `json:"noValue,omitempty"`
	Color      *Color         `json:"color,omitempty"`
	Mappings   []Mapping      `json:"mappings,omitempty"`
	Links      []PanelLink    `json:"links,omitempty"`
	Thresholds *Thresholds    `json:"thresholds,omitempty"`
	Custom     map[string]any `json:"custom,omitempty"`
}

// Color is the color of a field.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"`
}

// Thresholds here only give what no mapping names its color: the limits that
// matter are series, resp_threshold, and are drawn as such.
type Thresholds struct {
	Mode  string `json:"mode"`
	Steps []Step `json:"steps"`
}

// Step is the color from a value on.
type Step struct {
	Value *float64 `json:"value"`
	Color string   `json:"color"`
}

// Mapping maps values to texts.
type Mapping struct {
	Type    string `json:"type"`
	Options any    `json:"options"`
}

// Shown is the text and the color of a value.
type Shown struct {
	Text  string `json:"text"`
	Color string `json:"color,omitempty"`
	Index int    `json:"index"`
}

// Matcher selects fields.
type Matcher struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}

// Transformation is one step between queries and fields.
type Transformation struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}
