package app

import (
	"fmt"
	"os"

	"github.com/resp-exporter/resp-exporter/internal/config"
)

// warnOfFiles logs a warning about unsafe owners and modes of the configuration file and
// of the files with secrets. Files with secrets that everybody may read are usual in
// containers, so they are not refused.
func (a *parts) warnOfFiles(cfg *config.Config) {
	for _, note := range config.FileNotes(a.o.ConfigFile) {
		a.log.Warn("Configuration file not safe", "file", a.o.ConfigFile, "reason", note)
	}
	for _, file := range cfg.SecretFiles() {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			a.log.Warn("Secret file readable by every user", "file", file, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
		}
	}
}
