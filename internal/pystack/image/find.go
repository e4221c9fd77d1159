// Package image finds the CPython interpreter in a process: its executable file or, if one
// is mapped, its libpython, and reads the version and the addresses in that file. The files
// may be hostile: each size is bounded, and no path is followed out of the process's root
// directory.
package image

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// maxFiles is how many files a [Cache] knows.
const maxFiles = 128

// fuseMagic is FUSE_SUPER_MAGIC.
const fuseMagic = 0x65735546

// Cache has what was found in executable files, so that each is read once. It may
// be used by several goroutines.
type Cache struct {
	guard func(func()) error

	mu      sync.Mutex
	files   map[identity]parsed
	dropped uint64
}

// identity distinguishes files, and versions of one file.
type identity struct {
	dev, ino uint64
	mtime    unix.StatxTimestamp
	size     uint64
}

type parsed struct {
	file File
	err  error
}

// NewCache returns an empty cache. Reads of files, which a file system may hold up, are
// called through guard. guard may end the goroutine after such a read, so that only
// deferred calls are run, or return an error without a read. nil: reads have no deadline.
func NewCache(guard func(func()) error) *Cache {
	if guard == nil {
		guard = func(f func()) error { f(); return nil }
	}
	return &Cache{guard: guard, files: make(map[identity]parsed)}
}

// Dropped returns how many files were forgotten because there were too many.
func (c *Cache) Dropped() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped
}

// get returns what was parsed of a file; false if it is not there.
func (c *Cache) get(id identity) (parsed, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.files[id]
	return p, ok
}

// put stores what was parsed of a file. When there are maxFiles, all others are removed and
// counted.
func (c *Cache) put(id identity, p parsed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.files) >= maxFiles {
		c.dropped += uint64(len(c.files))
		clear(c.files)
	}
	c.files[id] = p
}

// Image is an interpreter in a process.
type Image struct {
	File

	Base  uint64 // to be added to the file's addresses
	Minor int    // of the version 3.minor, by names of files; 0: they do not tell
}

// candidate is a mapped file that may hold the interpreter.
type candidate struct {
	path       string
	start, end uint64 // of its first mapping
}

// mapped is what the mappings of a process (/proc/PID/maps) contain.
type mapped struct {
	exe        candidate
	candidates []candidate
	musl, pypy bool
	minor      int
}

// Find returns the interpreter of a process: its file, its version and where it is in
// memory. An [*Unsupported] says why stacks of the process cannot be read. [procfs.Gone]
// or [procfs.Denied] may be true of another error.
func Find(r *procfs.FS, pid int, c *Cache) (Image, error) {
	exe, err := r.Readlink(pid, "exe")
	if err != nil {
		return Image{}, err
	}
	file, exeErr := c.read(r, pid, "exe")
	if exeErr != nil && !isUnsupported(exeErr) {
		return Image{}, exeErr
	}
	m, err := survey(r, pid, exe)
	if err != nil {
		return Image{}, err
	}
	if m.musl {
		return Image{}, &Unsupported{Musl}
	}
	if exeErr == nil && file.Runtime != 0 && m.exe.end != 0 {
		return at(file, m.exe, m.minor), nil
	}
	for _, cand := range m.candidates {
		file, err := c.readMapped(r, pid, cand)
		switch {
		case procfs.Gone(err) || procfs.Denied(err):
			return Image{}, err
		case err != nil:
			exeErr = err
		case file.Runtime != 0:
			return at(file, cand, m.minor), nil
		}
	}
	return Image{}, why(file, exe, m, exeErr)
}

// why returns the error that says why there is no interpreter that can be read: PyPy, else
// err, else that the file has no symbols, or no Python is mapped.
func why(exe File, path string, m mapped, err error) error {
	switch {
	case m.pypy || exe.PyPy:
		return &Unsupported{PyPy}
	case err != nil:
		return err
	case len(m.candidates) > 0 || minorOf(path) != 0:
		return &Unsupported{Stripped}
	default:
		return &Unsupported{NotPython}
	}
}

// isUnsupported reports whether the error is an [*Unsupported].
func isUnsupported(err error) bool {
	_, ok := errors.AsType[*Unsupported](err)
	return ok
}

// at returns the image of a file at a mapping. Its version is that of the path, or minor if
// the path has none. Base is 0 if the file has fixed addresses.
func at(f File, c candidate, minor int) Image {
	i := Image{File: f, Minor: minorOf(c.path)}
	if i.Minor == 0 {
		i.Minor = minor
	}
	if !f.Fixed {
		i.Base = c.start - f.FirstPage
	}
	return i
}

// survey returns what the mappings of a process show: its program, up to four candidates
// for the interpreter's library, its version by the first path that has one (0: none),
// musl and PyPy.
func survey(r *procfs.FS, pid int, exe string) (m mapped, err error) {
	exePath, last := []byte(exe), []byte(nil)
	err = eachMapping(r, pid, func(at mapping) bool {
		if bytes.Equal(at.path, last) {
			return true
		}
		last = append(last[:0], at.path...)
		if m.exe.end == 0 && bytes.Equal(at.path, exePath) {
			m.exe = candidate{path: exe, start: at.start, end: at.end}
			return true
		}
		m.take(at)
		return true
	})
	return m, err
}

// take records what one mapping of a file tells.
func (m *mapped) take(at mapping) {
	base := at.path[bytes.LastIndexByte(at.path, '/')+1:]
	switch {
	case bytes.HasPrefix(base, []byte("ld-musl-")):
		m.musl = true
	case bytes.HasPrefix(base, []byte("libpypy")):
		m.pypy = true
	case bytes.HasPrefix(base, []byte("libpython")) || bytes.HasPrefix(base, []byte("python")):
		if len(m.candidates) < 4 && !m.has(string(at.path)) {
			m.candidates = append(m.candidates, candidate{path: string(at.path), start: at.start, end: at.end})
		}
	}
	if m.minor == 0 {
		if i := bytes.Index(at.path, []byte("/python3.")); i >= 0 {
			m.minor = minorOf(string(at.path[i:]))
		}
	}
}

// has reports whether a candidate has the path.
func (m *mapped) has(path string) bool {
	for _, c := range m.candidates {
		if c.path == path {
			return true
		}
	}
	return false
}

// minorOf returns N of the last python3.N or libpython3.N in a path, with anything behind;
// 0 without one.
func minorOf(p string) int {
	i := strings.LastIndex(p, "python3.")
	if i < 0 {
		return 0
	}
	digits := p[i+len("python3."):]
	n := 0
	for n < len(digits) && n < 3 && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	minor, err := strconv.Atoi(digits[:n])
	if err != nil {
		return 0
	}
	return minor
}

// read returns what the file of a magic link of /proc has, as [Cache.readFD] does. The
// link leads to the file that is executed or mapped, even if its path has changed.
func (c *Cache) read(r *procfs.FS, pid int, name string) (File, error) {
	link := r.Path(pid, name)
	fd, err := procfs.OpenRetry(link, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: link, Err: err}
	}
	defer unix.Close(fd)
	return c.readFD(r, pid, fd)
}

// readMapped returns what a mapped file has. It is opened by /proc/PID/map_files if the
// kernel allows that, otherwise by its path below the root directory of the process.
func (c *Cache) readMapped(r *procfs.FS, pid int, m candidate) (File, error) {
	file, err := c.read(r, pid, "map_files/"+strconv.FormatUint(m.start, 16)+"-"+strconv.FormatUint(m.end, 16))
	if !procfs.Denied(err) {
		return file, err
	}
	return c.readBelow(r, pid, m.path)
}

// readBelow returns what the file at a path below the root directory of a process has. No
// link leads out of that directory. An [*Unsupported]: there is no such file.
func (c *Cache) readBelow(r *procfs.FS, pid int, name string) (File, error) {
	root, err := procfs.OpenRetry(r.Path(pid, "root"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: r.Path(pid, "root"), Err: err}
	}
	defer unix.Close(root)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd := -1
	defer func() {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}()
	if late := c.guard(func() { fd, err = unix.Openat2(root, path.Clean(name), &how) }); late != nil {
		return File{}, late
	}
	if errors.Is(err, unix.ENOENT) { // it was deleted; the process may well live
		return File{}, &Unsupported{BadFile}
	}
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return c.readFD(r, pid, fd)
}

// readFD returns what a file of a process has, of which fd is a descriptor with O_PATH,
// from the cache if it was read before. An [*Unsupported]: it is no regular file, no ELF
// file that can be read, or on FUSE. Nothing but a regular file is opened: opening a
// device may have effects, and opening a pipe may block. A file system in user space that
// the mount table names is not called: a thread that waits for its answer keeps the
// exporter from ending.
func (c *Cache) readFD(r *procfs.FS, pid, fd int) (File, error) {
	st, err := procfs.StatHeld(fd)
	if err != nil {
		return File{}, &fs.PathError{Op: "stat", Path: "the interpreter's file", Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return File{}, &Unsupported{BadFile}
	}
	id := identity{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino, mtime: st.Mtime, size: st.Size}
	if p, ok := c.get(id); ok {
		return p.file, p.err
	}
	if mounts, err := r.Read(pid, "mountinfo"); err == nil && inUserSpace(mounts, st.Dev_major, st.Dev_minor) {
		return File{}, &Unsupported{FUSE}
	}
	var file File
	if late := c.guard(func() { file, err = readHeld(fd) }); late != nil {
		return File{}, late
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return File{}, failed
	}
	c.put(id, parsed{file, err})
	return file, err
}

// readHeld returns what a regular file has, of which fd is a descriptor with O_PATH.
// [*Unsupported]: it is on FUSE, or no ELF file that can be used, also if reading it fails. Any
// other error is an [*fs.PathError]: it could not be opened, which says nothing about the file.
func readHeld(fd int) (File, error) {
	var fsys unix.Statfs_t // of a file whose mount is not in the table
	if err := unix.Fstatfs(fd, &fsys); err != nil {
		return File{}, &fs.PathError{Op: "statfs", Path: "the interpreter's file", Err: err}
	}
	if fsys.Type == fuseMagic {
		return File{}, &Unsupported{FUSE}
	}
	again := "/proc/self/fd/" + strconv.Itoa(fd)
	open, err := procfs.OpenRetry(again, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC)
	if err != nil {
		return File{}, &fs.PathError{Op: "open", Path: again, Err: err}
	}
	defer unix.Close(open)
	file, err := parse(descriptor(open))
	if err != nil && !isUnsupported(err) {
		err = &Unsupported{BadFile}
	}
	return file, err
}
