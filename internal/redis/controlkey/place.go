package controlkey

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// place is a server with the keys that a [Publisher] has written there.
type place struct {
	server  *redis.Server      // nil: none
	link    *redis.Link        // a connection of its own; nil: none
	written map[string]writing // by app: keys that were not removed since
}

// writing is the last write of the key of an app.
type writing struct {
	at   time.Time
	text string
}

// connect makes the link, if there is none.
func (p *place) connect() error {
	if p.link != nil {
		return nil
	}
	link, err := p.server.OpenLink()
	if err == nil {
		p.link = link
	}
	return err
}

// disconnect closes the link.
func (p *place) disconnect() {
	if p.link != nil {
		_ = p.link.Close()
	}
	p.link = nil
}

// expire forgets the keys that have expired.
func (p *place) expire() {
	for app, w := range p.written {
		if time.Since(w.at) > expiry {
			delete(p.written, app)
		}
	}
}

// leave removes the keys within patience, also after the end of ctx, and closes the link.
// A key that somebody has written since stays, and one that cannot be removed expires. It
// needs no secret.
func (p *place) leave(ctx context.Context) {
	if p.link != nil && len(p.written) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		var list []change
		for app, w := range p.written {
			list = append(list, change{app, w.text, ""})
		}
		_, _ = write(ctx, p.link, list)
	}
	clear(p.written)
	p.disconnect()
}

// classify returns the [redis.Error] for an error of the link.
func (p *place) classify(err error) error { return p.server.Classify(err, p.link) }
