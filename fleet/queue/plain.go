package queue

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Hear hands over what is sent to the subjects from when ready is called until ctx ends,
// one message after the other. What comes faster than it is taken is lost. Nothing is
// answered.
func (c *Conn) Hear(ctx context.Context, subjects []string, each func(subject string, body []byte), ready func()) error {
	msgs := make(chan *nats.Msg, 256)
	for _, s := range subjects {
		sub, err := c.nc.ChanSubscribe(s, msgs)
		if err != nil {
			return fmt.Errorf("hear %s: %w", s, err)
		}
		defer sub.Unsubscribe()
	}
	soon, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if err := c.nc.FlushWithContext(soon); err != nil {
		return unsure("what is said", err)
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-msgs:
			each(m.Subject, m.Data)
		}
	}
}

// Tell sends a message to whoever listens now, and hears nothing of it.
func (c *Conn) Tell(subject string, body []byte) error { return c.nc.Publish(subject, body) }
