// Package journaltest has what the tests of the journal and of its users share.
package journaltest

import (
	"errors"
	"os"
	"path/filepath"
)

// Replacements returns functions, by what they do to a state directory, after which it is
// no longer the one that was opened.
func Replacements() map[string]func(dir string) error {
	file := func(name string, do func(path string) error) func(string) error {
		return func(dir string) error { return do(filepath.Join(dir, name)) }
	}
	anew := func(path string) error {
		data, err := os.ReadFile(path)
		return errors.Join(err, os.Rename(path, path+".old"), os.WriteFile(path, data, 0o600))
	}
	appendTo := func(path string) error {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("{}\n")
		return errors.Join(err, f.Close())
	}
	return map[string]func(string) error{
		"the directory was removed": os.RemoveAll,
		"the directory was renamed": func(dir string) error { return os.Rename(dir, dir+".old") },
		"another one is there":      func(dir string) error { return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700)) },
		"a copy of it is there": func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.CopyFS(dir, os.DirFS(dir+".old")))
		},
		"a file is there":          func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) },
		"the journal was removed":  file("journal.jsonl", os.Remove),
		"the journal is a copy":    file("journal.jsonl", anew),
		"the journal was cut":      file("journal.jsonl", func(path string) error { return os.Truncate(path, 0) }),
		"the journal was added to": file("journal.jsonl", appendTo),
		"the lock was removed":     file("lock", os.Remove),
		"the lock is a copy":       file("lock", anew),
		"the journal is a link": file("journal.jsonl", func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
		}),
	}
}
