package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/resp-exporter/resp-exporter/internal/discovery"
	"github.com/resp-exporter/resp-exporter/internal/discovery/appname"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const (
	namesFile = "names.json"
	maxNames  = 1 << 20 // bytes of it
)

// nameFile stores the names of apps in the state directory. It does not create
// the directory.
type nameFile struct{ dir string }

// open returns the state directory; nil without an error if there is none.
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

// Load returns the stored names. A file that others could have written is an
// error.
func (f nameFile) Load() ([]appname.Record, error) {
	root, err := f.open()
	if err != nil || root == nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(namesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := checkOwner(info); err != nil {
		return nil, fmt.Errorf("%s: %w", namesFile, err)
	}
	file, err := root.OpenFile(namesFile, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err = file.Stat(); err == nil {
		err = checkOwner(info)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", namesFile, err)
	}
	return parseNames(file)
}

// parseNames reads the format of [nameFile.Save].
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

// checkOwner returns why a file cannot be one that this exporter wrote; nil if
// it can.
func checkOwner(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return safefile.ErrNotRegular
	case st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()):
		return safefile.ErrOwner
	case info.Mode().Perm()&0o022 != 0:
		return safefile.ErrMode
	case info.Size() > maxNames:
		return safefile.ErrTooLarge
	}
	return nil
}

// Save replaces the stored names.
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
