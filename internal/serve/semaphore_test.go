package serve

import (
	"context"
	"net"
	"testing"
)

// One remote address can use at most three quarters of the places.
func TestPlaces(t *testing.T) {
	from := func(remote string) context.Context {
		return context.WithValue(t.Context(), connKey{}, net.Conn(&fake{remote: remote}))
	}
	p := NewSemaphore(8)
	var all []func()
	take := func(ctx context.Context) bool {
		free, ok := p.Acquire(ctx)
		if ok {
			all = append(all, free)
		}
		return ok
	}
	for i := range 20 {
		if ok := take(from("10.0.0.1:1")); ok != (i < 6) {
			t.Errorf("place %d of one address: %t", i, ok)
		}
	}
	for i := range 4 {
		if ok := take(from("10.0.0.2:1")); ok != (i < 2) {
			t.Errorf("place %d of another address: %t", i, ok)
		}
	}
	for _, free := range all {
		free()
	}
	if p.taken != 0 || len(p.remotes) != 0 || !take(from("10.0.0.2:1")) {
		t.Errorf("after the end %d are taken, of %v", p.taken, p.remotes)
	}
	none := NewSemaphore(0)
	one := NewSemaphore(1)
	for range 50 {
		if _, ok := none.Acquire(from("10.0.0.1:1")); !ok {
			t.Fatal("a place was refused without a bound")
		}
	}
	if _, ok := one.Acquire(from("10.0.0.1:1")); !ok {
		t.Error("the only place was refused")
	}
	if _, ok := one.Acquire(t.Context()); ok {
		t.Error("the only place was taken twice")
	}
}
