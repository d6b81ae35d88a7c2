package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// TestSilentMidBrew: the link of a machine that pours goes silent for longer
// than AckWait, and another one is idle (F17). The order comes to that one, which
// leaves it alone.
func TestSilentMidBrew(t *testing.T) {
	for _, silence := range []time.Duration{17 * time.Second, 40 * time.Second, 5 * time.Minute} {
		t.Run(silence.String(), func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", at("did on grinder", (*station).silent))
				id := c.order(orderN(1))
				ann.reached("did on grinder", 1)
				bob := c.start("bob")
				c.pause(silence)
				if bob.count("ticket") == 0 {
					c.Error("the order never came to the other machine: this tests nothing")
				}
				ann.heard()
				if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "ann" || e.Epoch != 1 {
					c.Errorf("%+v", e)
				}
				if bob.edges() > 0 {
					c.Error("the other one made it too")
				}
				c.poured(1)
				c.ended(c.order(orderN(2)), time.Minute, fleet.Served)
				c.poured(2)
			})
		})
	}
}

// TestSilentBeforeFence: the link goes silent just before the fence leaves
// (F18). The first machine does not start, the other makes it, and what was held
// back on the link changes nothing when it arrives.
func TestSilentBeforeFence(t *testing.T) {
	for _, x := range []struct {
		claimed bool // it had claimed the order and waited for a cup
		until   string
	}{
		{true, "updated accepted"}, {true, "updated claimed"}, {true, "updated brewing"}, {true, "did on pump"}, {true, "updated served"},
		{false, "updated brewing"}, {false, "did on pump"}, {false, "updated served"},
	} {
		t.Run(fmt.Sprintf("claimed %v until %s", x.claimed, x.until), func(t *testing.T) {
			open(t, func(c *cafe) {
				opts, epoch := []option{at("update brewing", (*station).silent)}, 1
				if x.claimed {
					opts, epoch = append(opts, lateCup), 2
				}
				ann := c.start("ann", opts...)
				id := c.order(orderN(1))
				ann.reached("update brewing", 1)
				woken := []option{at(x.until, func(*station) { ann.heard() })}
				if x.until == "updated claimed" {
					woken = append(woken, lateCup)
				}
				bob := c.start("bob", woken...)
				e := c.ended(id, 2*time.Minute, fleet.Served)
				if bob.count(x.until) == 0 {
					c.Error("it never came so far: this tests nothing")
				}
				c.pause(time.Minute)
				// Where it wakes to a claim that was given free, it may take that one.
				if x.until != "updated accepted" && (e.Machine() != "bob" || ann.edges() > 0) || e.Epoch != epoch {
					c.Errorf("the silent one started: %+v", e)
				}
				c.poured(1)
			})
		})
	}
}

// TestAnswerLost: a write was taken and its answer got lost (F19). The machine
// reads again and goes on from what it finds.
func TestAnswerLost(t *testing.T) {
	for _, p := range []fleet.Phase{fleet.Claimed, fleet.Brewing, fleet.Served} {
		t.Run(string(p), func(t *testing.T) {
			open(t, func(c *cafe) {
				ann := c.start("ann", answerLost(p), func(s *station) {
					if p == fleet.Claimed {
						lateCup(s)
					}
				})
				id := c.order(orderN(1))
				if e := c.ended(id, time.Minute, fleet.Served); e.Epoch != 1 || e.Attempts != 1 {
					c.Errorf("%+v", e)
				}
				if len(c.told) > 0 {
					c.Errorf("what the claim has was told as late: %+v", c.told)
				}
				if fences := ann.count("update brewing"); p == fleet.Brewing && fences != 2 {
					c.Errorf("%d fences: after an unanswered one a new one is needed", fences)
				}
				c.poured(1)
			})
		})
	}
}

// TestFenceHeldBack: the link holds the fence back until long after; then it is
// applied, if nobody wrote meanwhile. Nobody but its sender may act on it, and
// only by a new one.
func TestFenceHeldBack(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("update brewing", (*station).silent))
		id := c.order(orderN(1))
		ann.reached("update brewing", 1)
		c.pause(12 * time.Second)
		ann.heard()
		if e := c.ended(id, time.Minute, fleet.Served); e.Machine() != "ann" || e.Epoch != 1 {
			c.Errorf("%+v", e)
		}
		// The first relay came within 2 s of a fence that was sent after the silence.
		if d := ann.last("on grinder").Sub(ann.last("update brewing")); d > fleet.FenceTime {
			c.Errorf("the grinder went on %v after the fence", d)
		}
		if ann.count("update brewing") < 2 {
			c.Error("it went on without a new fence")
		}
		c.poured(1)
	})
}

// TestBrokerAway: the broker ends at some point and is back later, on its store
// (F23).
func TestBrokerAway(t *testing.T) {
	for _, point := range []string{"ticket", "updated claimed", "updated brewing", "did on grinder", "did on pump", "updated served", "done"} {
		for _, away := range []time.Duration{0, 40 * time.Second} {
			t.Run(fmt.Sprintf("%s for %v", point, away), func(t *testing.T) {
				open(t, func(c *cafe) {
					gone, placed := make(chan struct{}), make(chan struct{})
					ann := c.start("ann", func(s *station) {
						if point == "updated claimed" {
							lateCup(s)
						}
					}, at(point, func(s *station) {
						<-placed // the shop's own writes are done: they are not what is tried here
						c.note("broker", "STOPS")
						c.b.Stop()
						close(gone)
					}))
					bob := c.station("bob")
					id := c.order(orderN(1))
					close(placed)
					<-gone
					c.pause(away)
					c.note("broker", "IS BACK")
					c.b.Again()
					bob.run()
					c.ended(id, 3*time.Minute, fleet.Served)
					c.poured(1)
					if ann.edges() > 0 && bob.edges() > 0 {
						c.Error("both made it")
					}
					c.ended(c.order(orderN(2)), time.Minute, fleet.Served)
					c.poured(2)
				})
			})
		}
	}
}

// TestNoResponders: the first ack finds nobody, as in an election of a leader
// (F24). It is tried again, and the order does not come a second time.
func TestNoResponders(t *testing.T) {
	ack := regexp.MustCompile(`PUB \$JS\.ACK\.[^\r]+\r\n\+ACK`)
	var spoiled atomic.Int32
	open(t, func(c *cafe) {
		ann := c.start("ann", func(s *station) {
			s.wire = func(toBroker bool, p []byte) []byte {
				if toBroker && ack.Match(p) && spoiled.Add(1) <= 2 {
					return bytes.Replace(p, []byte("$JS.ACK."), []byte("$JS.NIX."), 1)
				}
				return p
			}
		})
		id := c.order(orderN(1))
		c.ended(id, time.Minute, fleet.Served)
		if spoiled.Load() != 3 {
			c.Errorf("%d acks were sent, wanted two for nobody and one more", spoiled.Load())
		}
		c.pause(time.Minute)
		if n := ann.count("ticket"); n != 1 {
			c.Errorf("the order came %d times", n)
		}
		c.poured(1)
	})
}

// TestLinkDownAtTheEnd: the drink ends while the link is down. The machine takes
// nothing, keeps the outcome, and pushes it when the link is back.
func TestLinkDownAtTheEnd(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("did on pump", func(s *station) { s.link.Cut(true) }))
		id := c.order(orderN(1))
		ann.reached("did on pump", 1)
		ann.reached("push", 3)
		if st := ann.state(); st != fleet.StateBusy && st != fleet.StateUnsynced {
			c.Errorf("it says that it is %s", st)
		}
		next := c.order(orderN(2))
		pulls := ann.count("next")
		c.pause(2 * time.Minute)
		if n := ann.count("next"); n != pulls {
			c.Error("it asked for an order with an outcome that is not confirmed")
		}
		if e := c.get(id); e.Phase != fleet.Brewing {
			c.Errorf("%s without a link", e.Phase)
		}
		c.poured(1)
		ann.link.Cut(false)
		c.phase(id, time.Minute, fleet.Served)
		c.said(id, fleet.Served)
		c.ended(next, time.Minute, fleet.Served)
		c.poured(2)
	})
}

// TestClaimsAway: the queue can be reached and the claims can't, when a drink
// ends. Nothing else is taken until the outcome is in.
func TestClaimsAway(t *testing.T) {
	var away atomic.Bool
	open(t, func(c *cafe) {
		ann := c.start("ann", at("push", func(*station) { away.Store(true) }), func(s *station) {
			s.fail = func(point string) error {
				if away.Load() && point == "push" {
					return fleet.ErrNoAnswer
				}
				return nil
			}
		})
		id := c.order(orderN(1))
		ann.reached("push", 3)
		next := c.order(orderN(2))
		pulls := ann.count("next")
		c.pause(30 * time.Second)
		if n := ann.count("next"); n != pulls {
			c.Error("it took an order with an outcome that is not confirmed")
		}
		away.Store(false)
		c.phase(id, time.Minute, fleet.Served)
		c.ended(next, time.Minute, fleet.Served)
		c.said(id, fleet.Served)
		c.poured(2)
	})
}

// TestDeadPuller: a machine dies, or its link goes silent, while it waits for an
// order (F34). Of a dead one the broker knows, and another gets the order at once.
// A silent one has asked for one order, which is delivered into the silence and
// comes to another after AckWait; it keeps no second one.
func TestDeadPuller(t *testing.T) {
	soon := 2500 * time.Millisecond
	t.Run("dies idle", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann, bob := c.start("ann"), c.start("bob")
			ann.reached("next", 1)
			bob.reached("next", 1)
			c.pause(5 * time.Second)
			ann.die()
			begin := time.Now()
			id := c.order(orderN(1))
			c.taken(id, soon, fleet.Brewing, bob)
			c.Logf("begun after %v", time.Since(begin))
			c.ended(id, time.Minute, fleet.Served)
			c.poured(1)
		})
	})
	t.Run("silent idle", func(t *testing.T) {
		open(t, func(c *cafe) {
			ann, bob := c.start("ann"), c.start("bob")
			ann.reached("next", 1)
			bob.reached("next", 1)
			c.pause(5 * time.Second)
			ann.silent()
			c.pause(time.Second)
			ids, begun := []string{c.order(orderN(1)), c.order(orderN(2))}, map[string]bool{}
			begin := time.Now()
			for _, within := range []time.Duration{soon, fleet.AckWait + soon} {
				waitFor(c, "bob to begin", func() bool {
					for _, id := range ids {
						if e := c.get(id); !begun[id] && e.Phase == fleet.Brewing && e.Machine() == "bob" {
							begun[id] = true
							return true
						}
					}
					return false
				})
				if d := time.Since(begin); d > within {
					c.Errorf("begun after %v, wanted within %v", d, within)
				}
			}
			ann.heard()
			for _, id := range ids {
				c.phase(id, time.Minute, fleet.Served)
			}
			c.empty()
			c.pause(time.Minute)
			if ann.edges() > 0 {
				c.Error("the silent one made something")
			}
			c.poured(2)
		})
	})
	for _, until := range []fleet.Phase{fleet.Brewing, fleet.Served} {
		t.Run("delivered into the silence until "+string(until), func(t *testing.T) {
			open(t, func(c *cafe) {
				once := new(atomic.Bool)
				deaf := make(chan struct{})
				ann := c.start("ann", func(s *station) {
					s.wire = func(toBroker bool, p []byte) []byte {
						if !toBroker && bytes.Contains(p, []byte("MSG "+fleet.OrderSubject(black)+" ")) && !once.Swap(true) {
							s.silent()
							close(deaf)
						}
						return p
					}
				})
				begin := time.Now()
				id := c.order(orderN(1))
				<-deaf
				bob, carl := c.start("bob"), c.start("carl")
				c.wait(id, fleet.AckWait+soon, "another one to begin", func(e fleet.Entry) bool {
					return e.Phase == fleet.Brewing && e.Machine() != "ann"
				})
				c.Logf("begun after %v", time.Since(begin))
				c.phase(id, time.Minute, until)
				ann.heard() // and now the delivery comes, much too late
				c.ended(id, time.Minute, fleet.Served)
				c.pause(time.Minute)
				if ann.edges() > 0 || bob.edges() > 0 && carl.edges() > 0 {
					c.Error("it was made twice")
				}
				c.poured(1)
			})
		})
	}
}

// TestPublishAgain: a publish is not answered in time and is repeated with the
// same id, and the first one arrives as well (F28).
func TestPublishAgain(t *testing.T) {
	open(t, func(c *cafe) {
		link := c.b.Link()
		shop := c.b.ConnectOver("shop2", link).Orders()
		o := orderN(1)
		e := c.create(o)
		link.Silence(true)
		if err := shop.Publish(c.Context(), e, o.ID); !errors.Is(err, fleet.ErrNoAnswer) {
			c.Fatalf("a publish into the silence: %v", err)
		}
		link.Silence(false)
		c.pause(time.Second)
		if err := shop.Publish(c.Context(), e, o.ID); err != nil {
			c.Fatalf("the second one: %v", err)
		}
		if list, err := c.shop.Orders().Stored(c.Context()); err != nil || len(list) != 1 {
			c.Fatalf("%d messages, %v", len(list), err)
		}
		ann := c.start("ann")
		c.ended(o.ID, time.Minute, fleet.Served)
		c.pause(time.Minute)
		if n := ann.count("ticket"); n != 1 {
			c.Errorf("%d tickets", n)
		}
		c.poured(1)
	})
}

// TestPublishedTwice: the same order is published again inside the window of
// message ids, outside of it, and after the broker forgot (F27). The claim
// decides.
func TestPublishedTwice(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		created := c.create(orderN(1))
		id := created.Order.ID
		c.publish(created, id)
		e := c.taken(id, time.Minute, fleet.Brewing, ann)
		c.publish(created, id) // while it waits
		// Under another id, as the controller's sweep does: a second message.
		c.publish(e, id+"#s1")
		bob := c.start("bob")
		c.ended(id, time.Minute, fleet.Served)
		if bob.count("ticket") == 0 {
			c.Error("the second message came to nobody: this tests nothing")
		}
		c.poured(1)
		again := func(when string, comes bool) {
			c.Helper()
			before := ann.count("ticket") + bob.count("ticket")
			c.publish(created, id)
			c.pause(30 * time.Second)
			c.empty()
			c.said(id, fleet.Served)
			c.poured(1)
			if came := ann.count("ticket")+bob.count("ticket") > before; came != comes {
				c.Errorf("%s: it came to a machine: %v", when, came)
			}
		}
		again("inside the window", false)
		c.pause(16 * time.Minute)
		again("outside of the window", true)
		c.b.Restart()
		c.pause(5 * time.Second) // the links notice
		brokertest.Eventually(c, "the links", c.shop.Up)
		again("the broker forgot the ids of what is gone", true)
		if bob.edges() > 0 {
			c.Error("bob made something")
		}
	})
}

// TestClaimVanishes: the record of an order is taken away while it is made, as a
// restored store does. Nobody awaits the outcome, and the machine works on.
func TestClaimVanishes(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("did on pump", func(*station) {
			if err := c.shop.Book().Trim(context.Background(), c.get(orderN(1).ID).Seq+1); err != nil {
				c.Error(err)
			}
			c.mu.Lock()
			c.lastAct = 0 // there is none
			c.mu.Unlock()
		}))
		c.order(orderN(1))
		ann.reached("push", 1)
		c.pause(20 * time.Second)
		select {
		case <-ann.ended:
			c.Fatalf("the worker ended: %v", ann.err)
		default:
		}
		c.ended(c.order(orderN(2)), 2*time.Minute, fleet.Served)
		c.poured(2)
	})
}
