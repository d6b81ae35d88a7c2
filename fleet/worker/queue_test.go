package worker_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

// raw speaks the broker's text protocol, as anybody with a socket can.
type raw struct {
	c    *cafe
	nc   net.Conn
	msgs chan rawMsg
}

type rawMsg struct {
	reply, status string
	body          []byte
}

func (c *cafe) raw() *raw {
	c.Helper()
	nc, err := c.b.InProcessConn()
	if err != nil {
		c.Fatal(err)
	}
	r := &raw{c: c, nc: nc, msgs: make(chan rawMsg, 64)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.read()
	}()
	c.Cleanup(func() {
		nc.Close()
		<-done
	})
	r.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB raw.inbox 1\r\n")
	return r
}

func (r *raw) say(s string) {
	if _, err := r.nc.Write([]byte(s)); err != nil {
		r.c.Error(err)
	}
}

// pub publishes bytes on a subject.
func (r *raw) pub(subject, body string) {
	r.say(fmt.Sprintf("PUB %s %d\r\n%s\r\n", subject, len(body), body))
}

// order publishes bytes as a message of the queue with its id.
func (r *raw) order(class fleet.Class, id, body string) {
	head := "NATS/1.0\r\nNats-Msg-Id: " + id + "\r\n\r\n"
	r.say(fmt.Sprintf("HPUB %s %d %d\r\n%s%s\r\n", fleet.OrderSubject(class), len(head), len(head)+len(body), head, body))
}

// pull takes one message from a class's queue; its reply is empty if there was
// none. It asks again for a moment, as a message may be stored before its
// consumer knows of it.
func (r *raw) pull(class fleet.Class) rawMsg {
	r.c.Helper()
	const ask = `{"batch":1,"no_wait":true}`
	var m rawMsg
	for range 5 {
		r.say(fmt.Sprintf("PUB $JS.API.CONSUMER.MSG.NEXT.%s.%s raw.inbox %d\r\n%s\r\n", fleet.StreamOrders, fleet.MakerDurable(class), len(ask), ask))
		select {
		case m = <-r.msgs:
		case <-time.After(5 * time.Second):
			r.c.Fatal("no answer to a pull")
		}
		if m.reply != "" {
			break
		}
		r.c.pause(20 * time.Millisecond)
	}
	return m
}

func (r *raw) read() {
	in := bufio.NewReader(r.nc)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "PING":
			go r.say("PONG\r\n")
		case "MSG", "HMSG": // subject sid [reply] [header bytes] bytes
			size, _ := strconv.Atoi(f[len(f)-1])
			b := make([]byte, size+2)
			for n := 0; n < len(b); {
				k, err := in.Read(b[n:])
				if err != nil {
					return
				}
				n += k
			}
			var m rawMsg
			m.body = b[:size]
			if f[0] == "HMSG" {
				head, _ := strconv.Atoi(f[len(f)-2])
				m.status, _, _ = strings.Cut(strings.TrimPrefix(string(b[:head]), "NATS/1.0 "), "\r\n")
				m.body = b[head:size]
				f = f[:len(f)-1]
			}
			if len(f) == 5 {
				m.reply = f[3]
			}
			r.msgs <- m
		}
	}
}

// TestFormerHolder: somebody who held the order before, and was silent for too
// long, acks, gives back, terminates or renews it at different moments (F22).
// Nothing of that touches the claim, and the order is made once.
func TestFormerHolder(t *testing.T) {
	for _, word := range []string{"+ACK", "-NAK", "+TERM too late", "+WPI"} {
		for _, point := range []string{"ticket", "updated claimed", "updated brewing", "did on pump", "updated served"} {
			t.Run(word+" at "+point, func(t *testing.T) {
				open(t, func(c *cafe) {
					old := c.raw()
					id := c.order(orderN(1))
					held := old.pull(black)
					if held.reply == "" {
						c.Fatalf("no order: %+v", held)
					}
					bob := c.start("bob", func(s *station) {
						if point == "updated claimed" {
							lateCup(s)
						}
					}, at(point, func(s *station) {
						old.pub(held.reply, word)
						c.pause(100 * time.Millisecond) // it arrives before the next step
					}))
					carl := c.station("carl")
					bob.reached("ticket", 1)
					carl.run()
					// Before bob's claim the nak hands it to either, after it to nobody.
					e := c.ended(id, 2*time.Minute, fleet.Served)
					if e.Epoch != 1 || e.Attempts != 1 || point != "ticket" && e.Machine() != "bob" {
						c.Errorf("%+v", e)
					}
					c.pause(time.Minute)
					if bob.edges() > 0 && carl.edges() > 0 {
						c.Error("it was made a second time")
					}
					if word == "-NAK" && point == "did on pump" && carl.count("ticket") == 0 {
						c.Error("the late nak gave the order to nobody: this tests nothing")
					}
					c.poured(1)
				})
			})
		}
	}
}

// TestPoison: messages that can't be an order that anybody accepted, straight in
// a class's queue (F39). Each is told with its payload and ended, and the
// machine goes on with the next order.
func TestPoison(t *testing.T) {
	open(t, func(c *cafe) {
		robusta := orderN(7)
		robusta.Bean = "robusta"
		created := c.create(robusta)
		wrong := orderN(95)
		wrong.Bean = "robusta"
		noID := orderN(0)
		noID.ID = ""
		poison := []struct{ id, body, why string }{
			{"", "{", "JSON"},
			{"", "", "JSON"},
			{"", "null", "JSON"},
			{"", strings.Repeat("x", 5<<10), "bytes"},
			{"", strings.Repeat("[", 1500) + strings.Repeat("]", 1500), "JSON"},
			{"", string(noID.Encode()), "id"},
			{"", string(orderN(98).Encode()), "id"},
			{"98", string(orderN(98).Encode()), "id"},
			{orderN(97).ID, string(orderN(96).Encode()), "another order"},
			{wrong.ID, string(wrong.Encode()), "class"},
			{robusta.ID + "#s1", string(robusta.Encode()), "class"},
			{orderN(99).ID + "#s1", string(orderN(99).Encode()) + "{}", "follows"},
		}
		r := c.raw()
		for _, p := range poison {
			if p.id == "" {
				r.pub(fleet.OrderSubject(black), p.body)
			} else {
				r.order(black, p.id, p.body)
			}
		}
		waitFor(c, "the poison in the queue", func() bool {
			list, err := c.shop.Orders().Stored(c.Context())
			return err == nil && len(list) == len(poison)
		})
		id := c.order(orderN(1))
		ann := c.start("ann")
		c.ended(id, 2*time.Minute, fleet.Served)
		for i, p := range poison {
			evs := c.events(fleet.PoisonID(fleet.StreamOrders, uint64(i+1)))
			if len(evs) != 1 || evs[0].Kind != fleet.EvRefused || !strings.Contains(evs[0].Reason.Text, p.why) ||
				evs[0].Subject != fleet.OrderSubject(black) || evs[0].Machine != "ann" {
				c.Errorf("%.20q: %+v", p.body, evs)
				continue
			}
			if want := p.body[:min(len(p.body), fleet.MaxOrder)]; !bytes.Equal(evs[0].Payload, []byte(want)) {
				c.Errorf("%.20q: the payload is %.20q", p.body, evs[0].Payload)
			}
		}
		if n := ann.count("ticket"); n != len(poison)+1 {
			c.Errorf("%d deliveries of %d messages: something came again", n, len(poison)+1)
		}
		c.poured(1)
		// The order whose body lay in another class is as it was, and is made.
		if e := c.get(robusta.ID); e.Phase != fleet.Accepted || e.Attempts != 0 {
			c.Errorf("%+v", e)
		}
		c.start("bob", func(s *station) { s.cfg.Classes = []fleet.Class{robusta.Class()} })
		c.publish(created, robusta.ID)
		c.ended(robusta.ID, time.Minute, fleet.Served)
		c.poured(2)
	})
}

// TestClaimSaysWhatIsMade: the message only reminds of a claim, whatever its body
// says.
func TestClaimSaysWhatIsMade(t *testing.T) {
	open(t, func(c *cafe) {
		two := orderN(2)
		two.Bean = "robusta"
		for i, body := range []string{"{", string(two.Encode())} {
			o := orderN(i)
			c.create(o)
			c.raw().order(black, o.ID, body)
		}
		c.start("ann")
		c.ended(orderN(0).ID, time.Minute, fleet.Served)
		c.ended(orderN(1).ID, time.Minute, fleet.Served)
		c.poured(2)
	})
}

// TestPoisonIsKept: a poisonous message is not ended before it is kept.
func TestPoisonIsKept(t *testing.T) {
	open(t, func(c *cafe) {
		fails := 2
		ann := c.start("ann", func(s *station) {
			s.fail = func(point string) error {
				if point == "poison" && fails > 0 {
					fails--
					return fleet.ErrNoAnswer
				}
				return nil
			}
		})
		c.raw().pub(fleet.OrderSubject(black), "{")
		ann.reached("drop", 1)
		if n := ann.count("poison"); n != 3 {
			c.Errorf("told %d times", n)
		}
		c.empty()
		if evs := c.events(fleet.PoisonID(fleet.StreamOrders, 1)); len(evs) != 1 {
			c.Errorf("%+v", evs)
		}
	})
}

// TestEndedOrCancelled: a ticket of an order that came to its end without the
// machine is ended too, and nothing moves.
func TestEndedOrCancelled(t *testing.T) {
	for _, end := range []fleet.Phase{fleet.Cancelled, fleet.Expired} {
		t.Run(string(end), func(t *testing.T) {
			open(t, func(c *cafe) {
				id := c.order(orderN(1))
				e := c.get(id)
				stopped, err := e.Stop(end, "eve", fleet.Reason{Text: "changed her mind"})
				c.write(e, stopped, err)
				ann := c.start("ann")
				c.ended(id, time.Minute, end)
				if ann.edges() > 0 || ann.count("updated claimed")+ann.count("updated brewing") > 0 {
					c.Error("it was begun")
				}
			})
		})
	}
}

// TestCancelBeatsFence: a cancel between claim and fence wins, and nothing moves.
func TestCancelBeatsFence(t *testing.T) {
	for _, p := range []fleet.Phase{fleet.Accepted, fleet.Claimed} {
		t.Run(string(p), func(t *testing.T) {
			open(t, func(c *cafe) {
				opts := []option{at("update brewing", func(s *station) {
					e := c.get(orderN(1).ID)
					if e.Phase != p {
						c.Errorf("it is %s", e.Phase)
					}
					stopped, err := e.Stop(fleet.Cancelled, "eve", fleet.Reason{})
					if err == nil {
						_, err = c.shop.Book().Next(c.Context(), e.Revision, stopped)
					}
					if err != nil {
						c.Error(err)
					}
				})}
				if p == fleet.Claimed {
					opts = append(opts, lateCup)
				}
				ann := c.start("ann", opts...)
				id := c.order(orderN(1))
				c.ended(id, time.Minute, fleet.Cancelled)
				if ann.edges() > 0 {
					c.Error("it was begun")
				}
				c.poured(0)
			})
		})
	}
}

// TestStopWhileIdle: a machine is told to stop just when it asks for an order
// (F35). The order is made, or it is there for the next one at once: never in
// nobody's hands until AckWait.
func TestStopWhileIdle(t *testing.T) {
	open(t, func(c *cafe) {
		other := c.raw()
		made, left := 0, 0
		for i := range 24 {
			o := orderN(i + 1)
			var armed = make(chan struct{})
			ann := c.start(fmt.Sprintf("ann%d", i), func(s *station) {
				s.wire = func(toBroker bool, p []byte) []byte {
					select {
					case <-armed:
						if toBroker && bytes.Contains(p, []byte("CONSUMER.MSG.NEXT")) {
							if i%2 == 0 {
								s.stop() // before the request leaves
							} else {
								go s.stop()
							}
						}
					default:
					}
					return p
				}
			})
			ann.reached("next", 1)
			c.pause(time.Duration(i) * 97 * time.Millisecond)
			close(armed)
			id := c.order(o)
			<-ann.ended
			if ann.err != nil {
				c.Errorf("%v", ann.err)
			}
			switch e := c.get(id); e.Phase {
			case fleet.Served:
				made++
			case fleet.Accepted:
				left++
				// What was given back may have a delay of up to 7.5 s; a stranded
				// one would come after AckWait.
				m := other.pull(black)
				if m.reply == "" && ann.count("return") > 0 {
					c.pause(7500 * time.Millisecond)
					m = other.pull(black)
				}
				if m.reply == "" {
					c.Errorf("round %d: the order is stranded: %+v", i, m)
					c.pause(20 * time.Second)
					m = other.pull(black)
				}
				other.pub(m.reply, "+TERM")
				c.pause(time.Second)
			default:
				c.Errorf("round %d: left as %s", i, e.Phase)
			}
			ann.close()
		}
		c.Logf("%d were made, %d left", made, left)
		c.poured(made)
	})
}

// TestStopWhileBusy: a machine is told to stop early in a long drink (F36). It
// finishes and settles it, and only then Run returns; it takes no further one.
func TestStopWhileBusy(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		large := orderN(1)
		large.Size = fleet.Large
		id := c.order(large)
		next := c.order(orderN(2))
		ann.reached("did on grinder", 1)
		begin := time.Now()
		ann.stop()
		select {
		case <-ann.ended:
			c.Error("it returned with a drink in hand")
		case <-time.After(5 * time.Second):
		}
		if st := ann.state(); st != fleet.StateDraining {
			c.Errorf("it says that it is %s", st)
		}
		<-ann.ended
		if ann.err != nil {
			c.Error(ann.err)
		}
		if took := time.Since(begin); took < 30*time.Second {
			c.Errorf("the drink took only %v: this tests nothing", took)
		}
		if e := c.get(id); e.Phase != fleet.Served {
			c.Errorf("%s when it returned", e.Phase)
		}
		if list, err := c.shop.Orders().Stored(c.Context()); err != nil || len(list) != 1 || list[0].Order != next {
			c.Errorf("in the queue: %v %v", list, err)
		}
		c.said(id, fleet.Served)
		here, err := c.shop.Fleet().Present(c.Context())
		if err != nil || len(here) != 0 {
			c.Errorf("present: %v %v", here, err)
		}
		c.poured(1)
		// The next one waits for nobody's time-out.
		bob := c.start("bob")
		c.taken(next, 3*time.Second, fleet.Brewing, bob)
		c.ended(next, time.Minute, fleet.Served)
		c.poured(2)
	})
}

// TestStopAtEachStep: the order of a machine that is told to stop at some step
// before the drink is made, or free for others when Run has returned. Nobody has
// to wait for a lease.
func TestStopAtEachStep(t *testing.T) {
	for _, point := range []string{"ticket", "get", "update claimed", "updated claimed", "update brewing", "updated brewing", "on grinder"} {
		t.Run(point, func(t *testing.T) {
			open(t, func(c *cafe) {
				opts := []option{at(point, func(s *station) {
					s.stop()
					c.pause(100 * time.Millisecond) // it gets about
				})}
				if strings.HasSuffix(point, "claimed") {
					opts = append(opts, lateCup)
				}
				ann := c.start("ann", opts...)
				place := c.order
				if point == "get" {
					place = c.orderAnew
				}
				id := place(orderN(1))
				<-ann.ended
				e := c.get(id)
				if e.Phase != fleet.Served && e.Phase != fleet.Accepted {
					c.Errorf("left as %s", e.Phase)
				}
				c.start("bob")
				c.ended(id, 25*time.Second, fleet.Served)
				c.poured(1)
			})
		})
	}
}

// TestBeatKeepsTheOrder: a long drink is renewed all the while, so that it comes
// to nobody else.
func TestBeatKeepsTheOrder(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		large := orderN(1)
		large.Size = fleet.Large
		id := c.order(large)
		c.taken(id, 10*time.Second, fleet.Brewing, ann)
		begin := time.Now()
		bob := c.start("bob")
		c.ended(id, 2*time.Minute, fleet.Served)
		if took := time.Since(begin); took < 2*fleet.AckWait || bob.count("ticket") > 0 {
			c.Errorf("within %v it came %d times to another machine", took, bob.count("ticket"))
		}
		c.poured(1)
	})
}

// TestYoungClaimIsLeft: a claim whose owner is not here is left alone until its
// lease is over, and then taken at once.
func TestYoungClaimIsLeft(t *testing.T) {
	open(t, func(c *cafe) {
		bob := c.station("bob")
		id := c.order(orderN(1))
		e := c.get(id)
		foreign, err := e.Take(fleet.Owner{Machine: "zoe", Journal: "x", Boot: "y"})
		c.write(e, foreign, err)
		begin := time.Now()
		bob.run()
		e = c.ended(id, time.Minute, fleet.Served)
		if d := bob.last("updated brewing").Sub(begin); d < fleet.Lease || d > fleet.Lease+2500*time.Millisecond {
			c.Errorf("taken over after %v", d)
		}
		if e.Epoch != 2 || e.Past[0].Machine != "zoe" || e.Past[0].Outcome != fleet.Untouched || !c.has(id, "released-1") {
			c.Errorf("%+v", e)
		}
		c.poured(1)
	})
}

// TestStopWhileWaitingForACup: the order goes back at once, untouched.
func TestStopWhileWaitingForACup(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", cups("sensor", "hand"))
		id := c.order(orderN(1))
		c.taken(id, 10*time.Second, fleet.Claimed, ann)
		c.pause(20 * time.Second)
		begin := time.Now()
		ann.stop()
		<-ann.ended
		if d := time.Since(begin); d > 3*time.Second {
			c.Errorf("it returned after %v", d)
		}
		if e := c.get(id); e.Phase != fleet.Accepted || e.Epoch != 2 {
			c.Errorf("%+v", e)
		}
		c.start("bob")
		c.ended(id, time.Minute, fleet.Served)
		c.poured(1)
	})
}

// TestNobodyCan: only machines that can't make it are there (F37). The order
// waits as it is, and is not passed around without end; the first one that can
// makes it.
func TestNobodyCan(t *testing.T) {
	small := func(s *station) { s.cfg.Sizes = []fleet.Size{fleet.Small} }
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			open(t, func(c *cafe) {
				for i := range n {
					c.start(fmt.Sprintf("ann%d", i), small)
				}
				o := orderN(1)
				o.Size = fleet.Large
				id := c.order(o)
				c.pause(10 * time.Minute)
				came := 0
				for _, s := range c.stations {
					came += s.count("ticket")
				}
				c.Logf("%d deliveries in 10 minutes to %d machines", came, n)
				if came < 20 || came > 120 { // not below 5 s each
					c.Errorf("%d deliveries", came)
				}
				if e := c.get(id); e.Phase != fleet.Accepted || e.Attempts != 0 || e.Epoch != 1 {
					c.Errorf("%+v", e)
				}
				for _, s := range c.stations {
					s.stop()
				}
				bob := c.start("bob")
				c.taken(id, 10*time.Second, fleet.Brewing, bob) // what is given back comes within 7.5 s
				c.ended(id, 2*time.Minute, fleet.Served)
				c.poured(1)
			})
		})
	}
	t.Run("but one", func(t *testing.T) {
		// Those that can't make the size ask as often as the one that can. They
		// step aside for it: else, in step since the last wake-up, the same ones
		// won for ever (seen: 10 minutes without a turn for the idle machine).
		open(t, func(c *cafe) {
			for i := range 4 {
				c.start(fmt.Sprintf("ann%d", i), small)
			}
			bob := c.start("bob")
			for i := range 20 {
				o := orderN(i + 1)
				o.Size = fleet.Large
				bob.reached("next", i+1)
				c.pause(time.Duration(i) * 777 * time.Millisecond)
				id := c.order(o)
				c.taken(id, fleet.AckWait+fleet.Lease+2*time.Second, fleet.Brewing, bob)
				c.ended(id, 2*time.Minute, fleet.Served)
			}
			c.poured(20)
		})
	})
	t.Run("without beans", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann := c.station("ann")
			ann.plant.Fault(faultBeans)
			ann.run()
			id := c.order(orderN(1))
			c.pause(10 * time.Minute)
			if n := ann.count("ticket"); n > 0 {
				c.Errorf("a machine that can't work took %d orders", n)
			}
			if st := ann.state(); st != fleet.StateBlocked {
				c.Errorf("it says that it is %s", st)
			}
			ann.plant.Clear()
			c.ended(id, time.Minute, fleet.Served)
			c.poured(1)
		})
	})
}
