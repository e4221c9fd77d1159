package run

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Exporter returns the path of the exporter to be tested: the one that RESP_EXPORTER_BINARY
// names, else one that it builds in dir from the checkout at root. All builds have the same
// settings, those of the Makefile and the Dockerfile, so that the packages are compiled once.
func Exporter(ctx context.Context, root, dir string) (string, error) {
	if path := os.Getenv("RESP_EXPORTER_BINARY"); path != "" { // see regress.sh
		return path, nil
	}
	path := filepath.Join(dir, "resp-exporter")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/resp-exporter") //nolint:gosec // a test's own directory
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
