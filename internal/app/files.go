package app

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// secretsOf returns the files of passwords and tokens that a configuration names,
// in alphabetical order.
func secretsOf(cfg *config.Config) []string {
	files := map[string]bool{cfg.Healing.TokenFile: true}
	for _, m := range cfg.MySQL {
		files[m.PasswordFile] = true
	}
	for _, r := range cfg.Redis {
		files[r.PasswordFile] = true
	}
	for _, r := range cfg.Healing.Rules {
		for _, s := range r.Steps {
			if s.CallHTTP != nil {
				files[s.CallHTTP.TokenFile] = true
			}
		}
	}
	delete(files, "")
	return slices.Sorted(maps.Keys(files))
}

// warnOfFiles logs what is doubtful about the configuration file and the files
// of secrets. Secrets that everybody may read are usual in containers, so that
// they are not refused.
func (a *App) warnOfFiles(cfg *config.Config) {
	for _, note := range config.FileNotes(a.o.ConfigFile) {
		a.log.Warn("The configuration file is not safe", "file", a.o.ConfigFile, "reason", note)
	}
	for _, file := range secretsOf(cfg) {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			a.log.Warn("Every user may read a secret", "file", file, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
		}
	}
}
