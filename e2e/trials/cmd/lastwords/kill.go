package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// round kills up to nine workers and returns them.
func (t *trialRun) round(ctx context.Context, slow, hit, fat string) []*killed {
	var wg sync.WaitGroup
	var out []*killed
	add := func(at, how string, kind int, kill func(pid int)) {
		k := &killed{how: how, view: t.views[kind]}
		out = append(out, k)
		t.next++
		n := t.next
		wg.Go(func() { t.one(ctx, k, at, kind, n, kill) })
	}
	for range 4 {
		add(slow, "timeout", t.kind(), nil)
	}
	for range 4 {
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGBUS}[t.draw.IntN(3)]
		wait := time.Duration(3000+t.draw.IntN(6000)) * time.Millisecond
		add(hit, "signal", t.kind(), func(pid int) {
			time.Sleep(wait) // the worker is killed at a random moment of its request
			_ = syscall.Kill(pid, sig)
		})
	}
	add(fat, "oom", eats, nil)
	wg.Wait()
	return out
}

// one sends a request and has its worker killed.
func (t *trialRun) one(ctx context.Context, k *killed, at string, kind, n int, kill func(pid int)) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		send(ctx, fmt.Sprintf("http://%s/%d/%d", at, kind, n))
	}()
	for k.pid == 0 && ctx.Err() == nil {
		time.Sleep(20 * time.Millisecond)
		if b, err := os.ReadFile(filepath.Join(t.dir, fmt.Sprintf("pid-%d", n))); err == nil {
			k.pid, _ = strconv.Atoi(string(b))
		}
	}
	if kill != nil {
		kill(k.pid)
	}
	<-ended
}
