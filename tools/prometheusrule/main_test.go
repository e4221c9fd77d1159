package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCurrent checks that the PrometheusRule is that of the rules.
func TestCurrent(t *testing.T) {
	want, err := generate("../../rules")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../deploy/kubernetes/base/prometheusrule.yaml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("prometheusrule.yaml is not that of rules/: go run ./tools/prometheusrule (%v)", err)
	}
}

func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	if _, err := generate(dir); err == nil {
		t.Error("no error without a rule file")
	}
	file := filepath.Join(dir, "a.rules.yml")
	for text, want := range map[string]string{
		"# x\ngroups:\n  - name: a\n\n    rules: []\n": head + "    # a.rules.yml\n    - name: a\n\n      rules: []\n",
		"# x\ngroup:\n": "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := generate(dir); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
