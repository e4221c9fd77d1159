// Package cleandisk is the action clean_disk: it removes old files from configured
// directories when their file system is nearly full.
package cleandisk

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

const (
	// maxEntries bounds the files of one directory: with an owner his, else all names.
	maxEntries = 100_000
	// maxNames bounds the names of one directory that are read, of any owner.
	maxNames = 1_000_000
	// maxCandidates bounds the oldest files of all directories that are looked at.
	maxCandidates = 10_000
	// untouched is how long a file must not have been renamed, linked or changed in any other
	// way: its time of change (ctime) cannot be set. A file that was just moved here has an old
	// time of writing.
	untouched = time.Hour
	// minFreed is the share of the planned bytes that must be free afterwards: others write
	// meanwhile.
	minFreed = 0.5
)

// Deps are the dependencies of the action.
type Deps struct {
	ProcRoot string // "/proc"; where it is mounted
	RootFS   string // "/", or where the file tree of the host is mounted, as of the collector disk
	StateDir string // of the exporter: nothing of it is removed
}

// Action is the action clean_disk. It removes names from a directory that it holds open, and
// follows no link.
type Action struct {
	d   Deps
	c   config.CleanDisk
	now func() time.Time
}

// New returns the action with these settings.
func New(d Deps, c config.CleanDisk) *Action { return &Action{d: d, c: c, now: time.Now} }

// Target implements [action.Action]: "disk:" and the alert's label mountpoint, "disk:?"
// without one.
func (r *Action) Target(a action.Alert) string {
	return "disk:" + action.TargetName(a, "mountpoint", "")
}

// file is one regular file of a directory.
type file struct {
	dir      string // one of the settings
	name     string
	dev, ino uint64
	uid      uint32
	links    uint64
	bytes    int64 // that it takes on the disk
	written  time.Time
	changed  time.Time // ctime
}

// same reports whether nothing about a file has changed.
func (f file) same(g file) bool { return f == g }
