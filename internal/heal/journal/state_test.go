package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal/journaltest"
)

const stranger = 65534

// try fails the test if one of the calls failed.
func try(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Nothing is written if the journal is no longer the file at the path, and no file is
// created in its place.
func TestReplaced(t *testing.T) {
	for name, replace := range journaltest.Replacements() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s := openStore(t, dir)
			try(t, s.Append(entry("a", "queued")), replace(dir))
			before, _ := filepath.Glob(dir + "/*")
			for range 2 {
				if err := s.Append(entry("b", "queued")); !errors.Is(err, journal.ErrLost) {
					t.Errorf("Append: %v", err)
				}
			}
			if err := s.SetPause(&journal.Pause{Until: time.Now()}); !strings.Contains(name, "journal") && !errors.Is(err, journal.ErrLost) {
				t.Errorf("SetPause: %v", err)
			}
			if after, _ := filepath.Glob(dir + "/*"); !strings.Contains(name, "journal") && len(after) != len(before) {
				t.Errorf("files were %v, are %v", before, after)
			}
		})
	}
}

// A directory that is there again at the next write is proven to be the same, and a disk
// that cannot be written for a while is not a loss of the directory.
func TestHeldAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := openStore(t, dir)
	try(t, s.Append(entry("a", "queued")), os.Rename(dir, dir+".old"), os.Rename(dir+".old", dir), s.Append(entry("b", "queued")))
	try(t, os.Chmod(dir, 0o777)) //nolint:gosec // what is refused
	if err := s.Append(entry("c", "queued")); err == nil || errors.Is(err, journal.ErrLost) {
		t.Errorf("where others can write: %v", err)
	}
	try(t, os.Chmod(dir, 0o700), s.Append(entry("c", "queued"))) //nolint:gosec // a directory
}

// The directory itself is locked: a second exporter is refused also if the lock file was
// removed.
func TestSecondExporter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	openStore(t, dir)
	try(t, os.Remove(filepath.Join(dir, "lock")))
	if _, err := journal.Open(dir, journal.FileSize); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second exporter: %v", err)
	}
}

// shapes returns what another user may have put at the path of a file of the exporter.
func shapes(t *testing.T) map[string]func(path string) error {
	t.Helper()
	theirs := filepath.Join(t.TempDir(), "secret")
	try(t, os.WriteFile(theirs, []byte("root's own\n"), 0o600))
	put := func(mode os.FileMode, uid int) func(string) error {
		return func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, mode), os.Chown(path, uid, uid))
		}
	}
	return map[string]func(string) error{
		"a FIFO":               func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory":          func(path string) error { return os.MkdirAll(path+"/x", 0o700) },
		"a link out":           func(path string) error { return os.Symlink(theirs, path) },
		"a link within":        func(path string) error { return os.Symlink("other", path) },
		"a link to a device":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"another name of it":   func(path string) error { return os.Link(theirs, path) },
		"a stranger's file":    put(0o600, stranger),
		"one that all write":   put(0o666, 0),
		"one that a group may": put(0o660, 0),
		"larger than any": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 100<<30))
		},
	}
}

// Each file of the directory in each shape is refused, without waiting and without a write
// through it. A pause that cannot be read lasts an hour.
func TestShapes(t *testing.T) {
	for shape, put := range shapes(t) {
		for _, name := range []string{"journal.jsonl", "journal.1.jsonl", "lock", "pause.json", "journal.jsonl.new", "pause.json.new"} {
			t.Run(shape+"/"+name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "state")
				try(t, os.Mkdir(dir, 0o700), put(filepath.Join(dir, name)))
				err := use(dir)
				unsafe := name == "journal.jsonl" || name == "journal.1.jsonl" || name == "lock"
				if unsafe != (err != nil) {
					t.Errorf("opened: %v", err)
				}
				if name == "pause.json" {
					s, err := journal.Open(dir, journal.FileSize)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = s.Close() }()
					if p := s.Pause(time.Now()); p == nil {
						t.Error("there is no pause")
					}
				}
			})
		}
	}
}

// use opens a directory, reads its journal and appends, as at a start.
func use(dir string) error {
	s, err := journal.Open(dir, journal.FileSize)
	if err != nil {
		return err
	}
	err = s.Replay(time.Now(), func(journal.Line) {})
	return errors.Join(err, s.Append(entry("a", "queued")), s.Close())
}

// A directory that another user created, owns or can move is neither used nor changed.
func TestStrangersDirectory(t *testing.T) {
	at := t.TempDir()
	mkdir := func(name string, mode os.FileMode, uid int) string {
		path := filepath.Join(at, name)
		try(t, os.Mkdir(path, 0o700), os.Chmod(path, mode), os.Chown(path, uid, uid))
		return path
	}
	theirs := mkdir("theirs", 0o755, stranger)
	shared := mkdir("shared", 0o777, 0)
	ours := mkdir("ours", 0o700, 0)
	link := filepath.Join(at, "link")
	private := mkdir("private", 0o700, 0)
	mkdir("private/resp", 0o755, 0)
	try(t, os.Symlink("private/resp", link), os.Symlink(ours, shared+"/link"), os.Mkdir(theirs+"/ours", 0o700), os.Mkdir(shared+"/ours", 0o700))
	for path, ok := range map[string]bool{
		ours: true, link: true, filepath.Join(ours, "new"): true, private + "/resp": true,
		theirs: false, theirs + "/new": false, theirs + "/ours": false, shared: false, shared + "/ours": false, shared + "/new": false, shared + "/link": false,
		mkdir("group", 0o770, 0): false,
	} {
		before, _ := filepath.Glob(path + "/*")
		err := use(path)
		if (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
		if after, _ := filepath.Glob(path + "/*"); !ok && len(after) != len(before) {
			t.Errorf("%s has %v", path, after)
		}
		if _, err := journal.Inspect(path, time.Now()); (err == nil) != ok {
			t.Errorf("InspectState(%s): %v", path, err)
		}
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can open the directory, and so lock it: %v %v", info.Mode(), err)
	}
}
