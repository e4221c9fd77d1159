// Package run starts the programs of the demo and of the tests, each in its own process
// group, and ends the whole group. It never looks for processes by name.
package run

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// grace is how long a group has between SIGTERM and SIGKILL.
const grace = 5 * time.Second

// Spec describes the program to start.
type Spec struct {
	Name string   // for messages and for the log file's name
	Path string   // program; looked up on the PATH
	Args []string // without the program itself
	Env  []string // added to this process's environment
	Dir  string   // working directory
	Logs string   // directory for the log, NAME.log

	Files []*os.File // passed on as descriptors 3 and up

	// Session starts it in its own session, without a terminal, like a service.
	Session bool
}

// Proc is one started program and all it starts.
type Proc struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // of Wait; to be read after done is closed
}

// Start starts a program and returns it. Its output goes to a file, so that a program that
// writes much can never wait for us.
func Start(spec Spec) (*Proc, error) {
	path, err := exec.LookPath(spec.Path)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := &Proc{Name: spec.Name, log: filepath.Join(spec.Logs, spec.Name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer func() { _ = out.Close() }()
	p.cmd = exec.Command(path, spec.Args...)
	p.cmd.ExtraFiles = spec.Files
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = spec.Dir, out, out
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !spec.Session, Setsid: spec.Session}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID returns the process id of the program, which is the id of its group too.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the program itself has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

// Err returns nil while the program runs, and then how it ended.
func (p *Proc) Err() error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s ended: %w", p.Name, p.err)
		}
		return fmt.Errorf("%s ended", p.Name)
	default:
		return nil
	}
}

// Signal sends s to the program alone. After SIGSTOP it returns once all threads
// have stopped, and what they answered before has been read.
func (p *Proc) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	if s != syscall.SIGSTOP {
		return nil
	}
	for range 1000 {
		if p.stopped() {
			time.Sleep(300 * time.Millisecond) // nothing tells when clients have read earlier answers
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("signal %s: it does not stop", p.Name)
}

// stopped reports whether every thread of the program is stopped by a signal
// (proc_pid_stat(5): state T).
func (p *Proc) stopped() bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if err != nil || len(files) == 0 {
		return false
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		if _, after, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return true
}

// Stop ends the whole group, gently at first, and returns when the program is
// gone. It may be called more than once.
func (p *Proc) Stop() {
	group := -p.PID()
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(grace):
		}
	}
	// Also if the program has ended: its children may still run.
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}

// Output returns what the program wrote, at most the last max bytes of it.
func (p *Proc) Output(max int64) string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > max {
		_, _ = f.Seek(-max, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, max))
	return string(b)
}

// Answers polls url until it answers 200, p ends, or ctx does.
func Answers(ctx context.Context, p *Proc, url string) error {
	if err := until(ctx, p, OK(url)); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}

// get returns nil if a URL answers with status 200 within 2 s.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
