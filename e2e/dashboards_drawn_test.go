package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/render"
	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// picture is one dashboard to draw.
type picture = render.Picture

// drawn is what was seen on a dashboard.
type drawn struct {
	Dashboard string
	Width     int
	Error     string
	Panels    []struct {
		ID          int
		Title, Text string
		Empty       bool
		Measured    struct{ Gap float64 } // of a graph: the longest gap of a line, in seconds
	}
	Faults []struct{ Panel, Kind, What string }
	Screen struct{ Below []string } // panels that do not fit one screen
}

// draw draws dashboards in Chromium, with Grafana's own components.
func draw(t *testing.T, pictures ...picture) []drawn {
	t.Helper()
	if err := render.Ready("render"); err != nil {
		t.Fatal(err)
	}
	bundle, err := filepath.Abs("../build/render")
	if err != nil {
		t.Fatal(err)
	}
	each := scaled(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), each+time.Duration(len(pictures))*each/4)
	defer cancel()
	out, messages, err := render.Draw(ctx, "render", bundle, each, pictures)
	var code *exec.ExitError
	if err != nil && (!errors.As(err, &code) || code.ExitCode() != 1) || len(messages) > 0 {
		t.Fatalf("draw.mjs: %v\n%s", err, messages)
	}
	var all []drawn
	for line := range strings.Lines(string(out)) {
		var one drawn
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("draw.mjs: %v in %q", err, line)
		}
		all = append(all, one)
	}
	if len(all) != len(pictures) {
		t.Fatalf("%d of %d dashboards are drawn", len(all), len(pictures))
	}
	return all
}

// said lists what is wrong on a dashboard: "PANEL: KIND: WHAT".
func (d drawn) said() []string {
	var out []string
	if d.Error != "" {
		out = append(out, "error: "+d.Error)
	}
	for _, f := range d.Faults {
		out = append(out, f.Panel+": "+f.Kind+": "+f.What)
	}
	for _, p := range d.Panels {
		if p.Empty {
			out = append(out, fmt.Sprintf("%d %s: empty: %s", p.ID, p.Title, p.Text))
		}
	}
	for _, title := range d.Screen.Below {
		out = append(out, "screen: "+title+" is below the first screen")
	}
	return out
}

// plain starts a Prometheus that scrapes nothing: the queries of the made-up dashboards
// need no samples.
func plain(t *testing.T) string {
	t.Helper()
	dir, address := openDir(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p := start(t, run.Spec{Name: "prometheus", Path: "prometheus", Args: []string{
		"--config.file=" + write(t, filepath.Join(dir, "prometheus.yml"), "global: {}\n"),
		"--storage.tsdb.path=" + filepath.Join(dir, "tsdb"), "--web.listen-address=" + address, "--log.level=warn",
	}})
	ctx, cancel := context.WithTimeout(t.Context(), scaled(time.Minute))
	defer cancel()
	if err := run.Answers(ctx, p, "http://"+address+"/-/ready"); err != nil {
		t.Fatal(err)
	}
	return "http://" + address
}

// lines is a query with n series, of a label with long values.
func lines(label string, n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`label_replace(vector(1), \"%s\", \"a long name, number %d\", \"\", \"\")`, label, i))
	}
	return strings.Join(all, " or ")
}

// TestDrawnFaults plants faults into a dashboard that has none, and checks that each is
// found once it is drawn.
func TestDrawnFaults(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("render/testdata/sound.json")
	if err != nil {
		t.Fatal(err)
	}
	var sound bytes.Buffer
	if err := json.Compact(&sound, text); err != nil {
		t.Fatal(err)
	}
	const (
		three   = `label_replace(vector(1), \"component\", \"mysql\", \"\", \"\")`
		queue   = `label_replace(vector(3), \"queue\", \"default\", \"\", \"\")`
		busy    = `label_replace(vector(0), \"app\", \"shop\", \"\", \"\")`
		up      = `label_replace(vector(1), \"app\", \"shop\", \"\", \"\")`
		grey    = `"color":{"mode":"fixed","fixedColor":"text"}`
		nothing = `vector(1) > 2`
	)
	faults := []struct {
		name  string
		edits []string // pairs
		want  string   // how a line of said begins
	}{
		{"grey timeline", []string{grey, `"color":{"mode":"thresholds"}`}, "3 Components over time: color"},
		{"state without a name", []string{three, strings.Replace(three, "vector(1)", "vector(5)", 1)}, "3 Components over time: color"},
		{"cut columns", []string{`"minWidth":50`, `"minWidth":300`}, "4 Workers: cut"},
		{"cut cell", []string{`\"shop\", \"\", \"\"), \"worker\", \"2\"`, `\"` + strings.Repeat("long ", 20) + `\", \"\", \"\"), \"worker\", \"2\"`}, "4 Workers: cut"},
		{"cut title", []string{`"title":"App up"`, `"title":"Whether each of the apps is up now"`}, "1 Whether each of the apps is up now: cut"},
		{"overlapping labels", []string{three, lines("component", 15)}, "3 Components over time: overlap"},
		{"long labels", []string{three, strings.Replace(three, "mysql", strings.Repeat("mysql ", 20), 1)}, "3 Components over time: labels"},
		{"more lines than a page", []string{three, lines("component", 25)}, "3 Components over time: pages"},
		{"empty panel", []string{queue, nothing}, "6 Running jobs: empty: Running jobs | no queue"},
		{"blank panel", []string{`increase((vector(1) * time() / 75)[5m:15s])`, nothing, `"textMode":"auto"`, `"textMode":"name"`}, "2 Steps: blank"},
		{"only limits", []string{busy, nothing}, "5 Busy workers: limits"},
		{"NaN in a table", []string{`vector(2)`, `(vector(0) / 0)`}, "4 Workers: nonsense"},
		{"dates of texts", []string{`"unit":"short","decimals":0,"noValue":"no worker"`, `"unit":"dateTimeFromNow","noValue":"no worker"`}, "4 Workers: nonsense"},
		{"4.01 steps", []string{`time() / 75)`, `time() / 74.8)`, `"decimals":0,"noValue":"none counted"`, `"noValue":"none counted"`}, "2 Steps: fraction"},
		{"axis of zeros", []string{`vector(0.8)`, `(vector(0.8) > 1)`, `"axisSoftMax":1,`, ``}, "5 Busy workers: axis: the axis of zeros goes up to 10000%"},
		{"forecast", []string{busy, strings.Replace(busy, "vector(0)", "vector(10)", 1)}, "5 Busy workers: axis: a share of 1000 %"},
		{"names without room", []string{queue, lines("queue", 40)}, "6 Running jobs: legend"},
		{"letters too small", []string{`"x":0,"y":0,"w":6,"h":4`, `"x":0,"y":0,"w":2,"h":4`, up, strings.Replace(up, "shop", strings.Repeat("shop", 9), 1)}, "1 App up: small"},
		{"bright for no value", []string{up, nothing, `"transparent"`, `"text"`}, "1 App up: bright"},
		{"lines without room", []string{`"x":0,"y":4,"w":12,"h":7`, `"x":0,"y":4,"w":12,"h":4`}, "4 Workers: rows"},
		{"name of a state that cannot be read", []string{`"color":"dark-green"`, `"color":"orange"`}, "1 App up: contrast"},
		{"too many annotations", []string{`% 900000`, `% 60000`}, ": marks"},
		{"more than a screen", []string{`"x":12,"y":11,"w":12,"h":7`, `"x":12,"y":11,"w":12,"h":30`, `"y":18`, `"y":41`}, "screen: Running jobs"},
		{"refused query", []string{queue, `vector(`}, "error: page.evaluate: Error: Error: Prometheus refuses vector("},
		{"unknown variable", []string{queue, `vector($nothing)`}, "error: page.evaluate: Error: Error: the query has the unknown variable $nothing"},
		{"unknown panel", []string{`"type":"state-timeline"`, `"type":"status-history"`}, "error: page.evaluate: Error: Error: the panel type status-history is not drawn"},
	}
	dir, base := t.TempDir(), plain(t)
	one := picture{Prometheus: base, Scrape: 15, Until: time.Now().UnixMilli(), Range: 3600, Width: 1280, Height: 1080}
	one.Dashboard = write(t, filepath.Join(dir, "sound.json"), sound.String())
	pictures := []picture{one}
	for i, f := range faults {
		broken := sound.String()
		for j := 0; j+1 < len(f.edits); j += 2 {
			if !strings.Contains(broken, f.edits[j]) {
				t.Fatalf("%s: no %s in the sound dashboard", f.name, f.edits[j])
			}
			broken = strings.ReplaceAll(broken, f.edits[j], f.edits[j+1])
		}
		one.Dashboard = write(t, filepath.Join(dir, fmt.Sprintf("%02d.json", i)), broken)
		pictures = append(pictures, one)
	}
	inLight := func(dashboard string) {
		one.Dashboard, one.Theme = dashboard, "light"
		pictures = append(pictures, one)
	}
	inLight(pictures[0].Dashboard)
	inLight(write(t, filepath.Join(dir, "light.json"), strings.ReplaceAll(sound.String(), `"color":"text"`, `"color":"yellow"`)))
	all := draw(t, pictures...)
	for _, i := range []int{0, len(faults) + 1} {
		if said := all[i].said(); len(said) > 0 {
			t.Errorf("the sound dashboard, %s: %s", pictures[i].Theme, strings.Join(said, "\n"))
		}
	}
	if said := all[len(faults)+2].said(); !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, "2 Steps: contrast") }) {
		t.Errorf("a yellow figure in the light theme: got\n%s", strings.Join(said, "\n"))
	}
	for i, f := range faults {
		if said := all[i+1].said(); !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, f.want) }) {
			t.Errorf("%s: want %q, got\n%s", f.name, f.want, strings.Join(said, "\n"))
		}
	}
}
