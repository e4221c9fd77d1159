package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	namesFile = "names.json"
	maxNames  = 1 << 20 // bytes of it
)

// nameFile stores the names of apps in the state directory. It does not create the directory.
type nameFile struct{ dir string }

// open returns the state directory; nil and no error if none is configured or it does not
// exist.
func (f nameFile) open() (*os.Root, error) {
	if f.dir == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	root, err := safefile.OpenRoot(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	return root, err
}

// Load returns the stored names; none and no error if there is no file or no state
// directory. A file that others could have written is an error.
func (f nameFile) Load() ([]appname.Record, error) {
	root, err := f.open()
	if err != nil || root == nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	file, err := safefile.OpenOwn(root, namesFile, os.O_RDONLY, maxNames)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return parseNames(file)
}

// parseNames returns the names in a file that [nameFile.Save] wrote, the first
// [discovery.MaxNames]. A file that is no JSON or larger than maxNames bytes is an error.
func parseNames(r io.Reader) ([]appname.Record, error) {
	b, err := safefile.ReadAll(r, maxNames)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", namesFile, err)
	}
	var list []appname.Record
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", namesFile, err)
	}
	return list[:min(len(list), discovery.MaxNames)], nil
}

// Save replaces the stored names; after an error the old ones stay. Without a state directory it does nothing.
func (f nameFile) Save(list []appname.Record) error {
	root, err := f.open()
	if err != nil || root == nil {
		return err
	}
	defer func() { _ = root.Close() }()
	b, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	const fresh = namesFile + ".new"
	if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := root.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(b, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = root.Rename(fresh, namesFile)
	}
	if err != nil {
		return errors.Join(err, root.Remove(fresh))
	}
	return nil
}
