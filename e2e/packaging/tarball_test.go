package packaging_test

import (
	"debug/buildinfo"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// readsTarball checks the checksums, what is in the tarball, the version that the
// program prints, and that the SBOM names each module in the program.
func readsTarball(t *testing.T, b built) {
	run(t, nil, "sh", "-c", `cd "$1" && sha256sum --strict -c sha256sums.txt`, "sh", b.dir)
	for _, file := range []string{
		"LICENSE", "CHANGELOG.md", "resp-exporter.example.yml", "resp-exporter.1", "systemd/resp-exporter.service",
		"completions/resp-exporter.fish", "rules/app.rules.yml", "dashboards/resp-overview.json", "sql/mysql8-heal.sql",
	} {
		if !exists(filepath.Join(b.name, file)) {
			t.Errorf("%s is not in the tarball", file)
		}
	}
	program := filepath.Join(b.name, "resp-exporter")
	version := run(t, nil, program, "--version")
	for _, want := range []string{"version " + newest, "builder@example", "20231114-22:13:20"} {
		if !strings.Contains(version, want) {
			t.Errorf("no %q in %s", want, version)
		}
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal([]byte(read(t, b.name+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("SBOM: %s is %q, not %q", m.Path, listed[m.Path], m.Version)
		}
	}
}
