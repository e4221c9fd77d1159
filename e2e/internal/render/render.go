// Package render draws dashboards in Chromium by e2e/render/draw.mjs, which explains the
// fields.
package render

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Picture is one dashboard to draw.
type Picture struct {
	Dashboard  string              `json:"dashboard"`
	Picture    string              `json:"picture,omitempty"`
	Prometheus string              `json:"prometheus"`
	Scrape     float64             `json:"scrape"`
	Until      int64               `json:"until"`
	Range      float64             `json:"range"`
	Width      int                 `json:"width"`
	Height     int                 `json:"height"`
	Theme      string              `json:"theme,omitempty"`
	Variables  map[string][]string `json:"variables,omitempty"`
	Open       bool                `json:"open,omitempty"`
	Whole      bool                `json:"whole,omitempty"`
}

// Ready returns an error if a program or package is missing. dir is e2e/render.
func Ready(dir string) error {
	for _, program := range []string{"chromium", "node"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is missing: apt-get install chromium nodejs", program)
		}
	}
	for _, name := range []string{"node_modules/@grafana/ui", "../browser/node_modules/playwright-core"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("%s is missing: run npm ci --ignore-scripts in e2e/render and e2e/browser", filepath.Join(dir, name))
		}
	}
	return nil
}

// Draw draws pictures and returns what draw.mjs writes: a line of JSON for each, and its
// messages. limit is for one picture; bundle is a directory for the built page.
func Draw(ctx context.Context, dir, bundle string, limit time.Duration, pictures []Picture) (out, messages []byte, err error) {
	argument, err := json.Marshal(map[string]any{"bundle": bundle, "limit": limit.Milliseconds(), "pictures": pictures})
	if err != nil {
		return nil, nil, err
	}
	node := exec.CommandContext(ctx, "node", filepath.Join(dir, "draw.mjs"), string(argument)) //nolint:gosec // our own script
	var stdout, stderr bytes.Buffer
	node.Stdout, node.Stderr = &stdout, &stderr
	err = node.Run()
	return stdout.Bytes(), stderr.Bytes(), err
}
