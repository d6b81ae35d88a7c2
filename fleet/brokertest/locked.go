package brokertest

import (
	"testing"

	"barista/fleet/broker"
	"barista/fleet/queue"
)

// Lock says who may come in. What the table of roles makes of it is the test's affair,
// because that table has tests with a broker too.
type Lock interface {
	// Accounts is the text for the broker.
	Accounts() string
	// As has a connection come as who its name says, with key and inbox.
	As(queue.Config) queue.Config
}

// startLocked is Start with keys and accounts. Whatever somebody does by himself that
// he may not do fails the test.
func startLocked(t testing.TB, l Lock) *Broker {
	t.Helper()
	b := start(t, broker.Config{Accounts: l.Accounts()})
	b.lock = l
	return b.withShop()
}

// Relock puts in force what the lock says now.
func (b *Broker) Relock() {
	b.t.Helper()
	text := b.lock.Accounts()
	b.mu.Lock()
	br := b.broker
	b.cfg.Accounts = text
	b.mu.Unlock()
	if err := br.Reload(text); err != nil {
		b.t.Error(err)
	}
}

// as is how somebody connects.
func (b *Broker) as(c queue.Config) queue.Config {
	if b.lock == nil {
		return c
	}
	c.Denied = func(u *queue.Unusable) { b.t.Errorf("%s: %v", c.Name, u) }
	return b.lock.As(c)
}
