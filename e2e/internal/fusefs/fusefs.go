// Package fusefs mounts a file system in user space that has one file and can stop to
// answer, as that of a stranger or of a host that is gone.
package fusefs

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// system is a mounted file system with one executable file.
type system struct {
	server *fuse.Server
	mu     sync.Mutex
	frozen chan struct{} // closed when requests are answered again; nil: they are
}

// mount mounts a file system at dir, with the contents of the file source as the file
// name. All users may use it. It needs root and /dev/fuse.
func mount(dir, name, source string) (*system, error) {
	content, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	f := &system{}
	// The kernel keeps nothing, so that each use of the file asks.
	none := time.Duration(0)
	opts := &fs.Options{EntryTimeout: &none, AttrTimeout: &none}
	opts.AllowOther, opts.DirectMountStrict = true, true
	root := &node{fs: f}
	opts.OnAdd = func(ctx context.Context) {
		child := root.NewPersistentInode(ctx, &node{fs: f, content: content}, fs.StableAttr{Mode: syscall.S_IFREG})
		root.AddChild(name, child, false)
	}
	if f.server, err = fs.Mount(dir, root, opts); err != nil {
		return nil, fmt.Errorf("a file system in user space at %s (/dev/fuse and root are needed): %w", dir, err)
	}
	return f, nil
}

// freeze makes all requests wait until thaw is called.
func (f *system) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen == nil {
		f.frozen = make(chan struct{})
	}
}

// thaw answers the waiting requests.
func (f *system) thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen != nil {
		close(f.frozen)
		f.frozen = nil
	}
}

// Serve mounts a file system at dir that has one file, name, with the contents of the file
// source, and prints "mounted" to standard output. SIGUSR1 stops its answers, SIGUSR2 resumes
// them; at SIGTERM it is unmounted and Serve returns. It must run in a program of its own: when
// that ends, the kernel ends all requests that wait for an answer.
func Serve(dir, name, source string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM)
	f, err := mount(dir, name, source)
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	for s := range signals {
		switch s {
		case syscall.SIGUSR1:
			f.freeze()
		case syscall.SIGUSR2:
			f.thaw()
		default:
			f.thaw()
			return f.server.Unmount()
		}
	}
	return nil
}

// wait returns when requests are answered.
func (f *system) wait() {
	f.mu.Lock()
	c := f.frozen
	f.mu.Unlock()
	if c != nil {
		<-c
	}
}

// node is the directory, or the file with its content.
type node struct {
	fs.Inode

	fs      *system
	content []byte
}

var (
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeStatfser  = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeAccesser  = (*node)(nil)
)

// Getattr implements [fs.NodeGetattrer].
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fs.wait()
	out.Mode, out.Size = 0o755, uint64(len(n.content))
	return 0
}

// Statfs implements [fs.NodeStatfser].
func (n *node) Statfs(context.Context, *fuse.StatfsOut) syscall.Errno {
	n.fs.wait()
	return 0
}

// Access implements [fs.NodeAccesser].
func (n *node) Access(context.Context, uint32) syscall.Errno {
	n.fs.wait()
	return 0
}

// Open implements [fs.NodeOpener].
func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.fs.wait()
	return nil, 0, 0
}

// Read implements [fs.NodeReader].
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	n.fs.wait()
	from := min(offset, int64(len(n.content)))
	return fuse.ReadResultData(n.content[from:min(from+int64(len(dest)), int64(len(n.content)))]), 0
}
