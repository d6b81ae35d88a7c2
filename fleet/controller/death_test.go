package controller

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/queue"
)

// machine is one as the broker and the shop see it, without any metal.
type machine struct {
	t    *testing.T
	name string
	link *brokertest.Link
	conn *queue.Conn
}

// comes connects a machine, as the process of that nonce.
func comes(t *testing.T, b *brokertest.Broker, name, nonce string) *machine {
	t.Helper()
	m := &machine{t: t, name: name, link: b.Link()}
	m.conn = b.ConnectOver(name, m.link)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		_ = m.conn.Server().Serve(ctx, fleet.ProcessSubject(name, nonce), false, func(_ context.Context, _ string, body []byte) []byte {
			if string(body) != fleet.Lives {
				t.Errorf("%s was asked %q, as if another process wanted its name", name, body)
			}
			return []byte("here")
		})
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	brokertest.Eventually(t, name+" to answer", func() bool {
		_, err := m.conn.Requester().Request(t.Context(), fleet.ProcessSubject(name, nonce), []byte(fleet.Lives))
		return err == nil
	})
	m.says(nonce, "")
	return m
}

func (m *machine) word(nonce, order string) fleet.Presence {
	return fleet.Presence{Machine: m.name, Owner: fleet.Owner{Machine: m.name, Journal: "j", Boot: "b", Nonce: nonce}, Classes: []fleet.Class{{Bean: "arabica", Milk: fleet.NoMilk}}, Sizes: fleet.Sizes, State: fleet.StateReady, Order: order}
}

func (m *machine) says(nonce, order string) {
	m.t.Helper()
	if err := m.conn.Fleet().Announce(m.t.Context(), m.word(nonce, order)); err != nil {
		m.t.Fatal(err)
	}
}

// takes waits for an order.
func (m *machine) takes() *fleet.Ticket {
	m.t.Helper()
	t, err := m.conn.Tickets().Next(m.t.Context(), []fleet.Class{{Bean: "arabica", Milk: fleet.NoMilk}}, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return t
}

// TestDeathOfAMachine: a machine dies with an order that it has taken and not begun. By
// its closed socket the order comes to another one within a second; where its link fell
// silent, when the queue's time is over; and one that lives keeps it.
func TestDeathOfAMachine(t *testing.T) {
	one, two := strings.Repeat("a", 26), strings.Repeat("b", 26)
	for _, x := range []struct {
		name     string
		claimed  bool
		told     bool // it has said which order it has
		early    bool // before the shop has asked anybody
		dies     func(*machine, *brokertest.Broker)
		from, to time.Duration // until the other one has the order
		here     bool          // the roll still lists it
	}{
		{"killed", false, false, false, func(m *machine, _ *brokertest.Broker) { m.link.Cut(true) }, 0, time.Second, false},
		{"killed at once", false, false, true, func(m *machine, _ *brokertest.Broker) { m.link.Cut(true) }, 0, time.Second, false},
		{"killed, and had said what it has", false, true, false, func(m *machine, _ *brokertest.Broker) { m.link.Cut(true) }, 0, time.Second, false},
		{"killed over its claim", true, true, false, func(m *machine, _ *brokertest.Broker) { m.link.Cut(true) }, 0, time.Second, false},
		{"killed and started again", false, false, false, func(m *machine, b *brokertest.Broker) { m.link.Cut(true); comes(m.t, b, m.name, two) }, 0, time.Second, true},
		{"silent", false, false, false, func(m *machine, _ *brokertest.Broker) { m.link.Silence(true) }, fleet.AckWait - time.Second, fleet.AckWait + time.Second, true},
		{"alive", false, false, false, func(*machine, *brokertest.Broker) {}, fleet.AckWait - time.Second, fleet.AckWait + time.Second, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
				conn := b.Connect("shop")
				s, done := keeps(t, conn, fleet.Items{"arabica": 1000})
				defer done()
				parts := real(conn, s)
				parts.Requester = conn.Requester()
				c, stop := run(t, parts, Config{})
				defer stop()
				ann := comes(t, b, "ann", one)
				brokertest.Eventually(t, "the shop", func() bool { return c.Place(t.Context(), order(id1).Encode(), "web").OK() })
				ann.takes()
				if x.told {
					ann.says(one, id1)
				}
				if x.claimed {
					move(t, conn, id1, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(ann.word(one, "").Owner) })
				}
				bob := comes(t, b, "bob", two)
				if !x.early {
					time.Sleep(time.Second) // of a life in which nothing happens
				}
				begin := time.Now()
				x.dies(ann, b)
				got := bob.takes()
				if id, _ := fleet.OrderOfMessage(got.MessageID); id != id1 {
					t.Fatalf("another order: %s", got.MessageID)
				}
				took := time.Since(begin)
				t.Logf("after %v", took)
				if took < x.from-time.Second || took > x.to {
					t.Errorf("the order came to the other one after %v, wanted %v to %v", took, x.from, x.to)
				}
				here := slices.ContainsFunc(parts.Roll.Machines(), func(m *fleet.Machine) bool { return m.Here && m.Machine == "ann" })
				if here != x.here && x.from == 0 {
					t.Errorf("ann is here: %v", here)
				}
				if !slices.ContainsFunc(parts.Roll.Machines(), func(m *fleet.Machine) bool { return m.Here && m.Machine == "bob" }) && x.from == 0 {
					t.Error("bob, who lives, is not here")
				}
				if n := len(s.messagesStored(t, conn)); x.from > 0 && n != 1 {
					t.Errorf("%d messages of one order that nobody has lost", n)
				}
			})
		})
	}
}

// messagesStored are those in the real queue.
func (s *shop) messagesStored(t *testing.T, c *queue.Conn) []fleet.StoredOrder {
	t.Helper()
	stored, err := c.Orders().Stored(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stored
}
