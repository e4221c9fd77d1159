package hostactions

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config/schema"
)

// CleanDisk are the settings of clean_disk.
type CleanDisk struct {
	// Absolute paths, from which files are removed, and not from those below; required.
	Directories []string `yaml:"directories" want:"a list of 1 to 10 directories" item:"the absolute path of a directory, without . .. and links"`
	// Of the names of files; required.
	Patterns []string `yaml:"patterns" want:"a list of 1 to 20 patterns of file names" item:"a pattern with two characters or more beside * ? and [ ], such as *.log.*.gz"`
	// Whose files are removed, a number or a name; "": everybody's, if only root and the exporter can write to the directories.
	Owner string `yaml:"owner,omitempty" want:"the name or the number of a user" form:"user"`
	// Of a file, since it was written; required, 1h or more.
	MinAge time.Duration `yaml:"min_age" want:"a duration from 1h to 8760h"`
	// Of the files that match, in each directory; required.
	KeepNewest int `yaml:"keep_newest" want:"a whole number from 0 to 10000"`
	// In one run; required.
	MaxFiles int         `yaml:"max_files" want:"a whole number from 1 to 100"`
	MaxBytes schema.Size `yaml:"max_bytes" want:"a size from 1MiB to 1048576MiB, such as 512MiB"`
	// Of the files of a directory; more is refused; required.
	MaxFraction float64 `yaml:"max_fraction" want:"a number above 0, at most 1"`
	// Of the file system's space in use; nothing is removed below.
	MinUsed float64 `yaml:"min_used" want:"a number from 0.5 to 0.99"`
}

// NewCleanDisk returns the settings with their defaults; what is required has none.
func NewCleanDisk() *CleanDisk { return &CleanDisk{KeepNewest: notGiven, MinUsed: 0.8} }

// notGiven is the value of a required number for which 0 is a valid value.
const notGiven = -1

// DeniedTrees returns the directories in which, and below which, no file may be removed.
func DeniedTrees() []string {
	return []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr",
		"/var/lib/apt", "/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/mysql", "/var/lib/postgresql", "/var/lib/redis", "/var/lib/resp-exporter", "/var/lib/systemd", "/var/run",
	}
}

// DeniedAlone returns the directories in which no file may be removed, though files in
// some of their subdirectories may.
func DeniedAlone() []string {
	return []string{"/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/var", "/var/lib"}
}

// IsDenied reports whether no file of a directory may ever be removed, by its clean absolute
// path on the host alone: another path may lead to the same directory.
func IsDenied(dir string) bool {
	return slices.Contains(DeniedAlone(), dir) || slices.ContainsFunc(DeniedTrees(), func(d string) bool { return dir == d || strings.HasPrefix(dir, d+"/") })
}

// Check calls need for each setting except the owner.
func (s *CleanDisk) Check(need Need) {
	need(len(s.Directories) > 0, "directories", nil, " (required)")
	need(len(s.Directories) <= 10, "directories", len(s.Directories), "")
	for i, d := range s.Directories {
		key := fmt.Sprintf("directories[%d]", i)
		need(schema.IsAbsolute(d) && path.Clean(d) == d && len(d) <= 1024 && !schema.HasControl(d), key, d, "")
		need(d == "/" || !IsDenied(d), key, d, ", and not one of the system's")
		need(!slices.Contains(s.Directories[:i], d), key, d, ", each once")
	}
	need(len(s.Patterns) > 0, "patterns", nil, " (required)")
	need(len(s.Patterns) <= 20, "patterns", len(s.Patterns), "")
	for i, p := range s.Patterns {
		need(isPattern(p), fmt.Sprintf("patterns[%d]", i), p, "")
	}
	required(need, "min_age", s.MinAge, 0, time.Hour, 365*24*time.Hour)
	required(need, "keep_newest", s.KeepNewest, notGiven, 0, 10_000)
	required(need, "max_files", s.MaxFiles, 0, 1, 100)
	required(need, "max_bytes", int(s.MaxBytes), 0, 1<<20, 1<<40)
	required(need, "max_fraction", s.MaxFraction, 0, 0.001, 1)
	need(s.MinUsed >= 0.5 && s.MinUsed <= 0.99, "min_used", s.MinUsed, "")
}

// isPattern reports whether p is a valid pattern of a file name, of at most 128 bytes,
// without a directory, backslash or control character, and with at least two plain
// characters, those in [ ] not counted.
func isPattern(p string) bool {
	if _, err := path.Match(p, "x"); err != nil || len(p) > 128 || schema.HasControl(p) || strings.ContainsAny(p, `/\`) {
		return false
	}
	plain, class := 0, false
	for _, r := range p {
		switch {
		case class:
			class = r != ']'
		case r == '[':
			class = true
		case r != '*' && r != '?':
			plain++
		}
	}
	return plain >= 2
}
