package web

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/web/display"
)

//go:embed static templates
var files embed.FS

// asset is one file of the page, ready to be sent.
type asset struct {
	kind, etag string
	content    []byte
}

// loadAssets returns the embedded files by their name below static/. It panics if one
// cannot be read, which only a broken build can cause.
func loadAssets() map[string]asset {
	out := make(map[string]asset)
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		out[strings.TrimPrefix(name, "static/")] = asset{kindOf(name), fmt.Sprintf(`"%x"`, sha256.Sum256(b))[:34] + `"`, b}
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("embedded files: %v", err))
	}
	return out
}

// kindOf returns the media type of a file by the extension of its name, without the
// host's table of types, which may be missing or wrong; text/plain for any other extension.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

// parsePage returns the templates of the page.
func parsePage() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"bytes": display.Bytes, "seconds": display.Seconds, "percent": display.Percent,
		"count": display.Count, "rate": display.Rate, "cores": display.Cores,
	}).ParseFS(files, "templates/*.html"))
}
