package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/fleet/worker"
	"barista/machine/journal"
)

// TestTwoDesks: two desks share the work, and one that stops takes nothing with
// it.
func TestTwoDesks(t *testing.T) {
	open(t, func(c *cafe) {
		one, two := c.desks[0], c.desk("desk2")
		for _, name := range []string{"ann", "bob", "carl"} {
			c.start(name)
		}
		var ids []string
		for i := range 12 {
			ids = append(ids, c.order(orderN(i+1)))
		}
		c.phase(ids[3], 5*time.Minute, fleet.Served)
		one.stop()
		before := one.written()
		for _, id := range ids {
			if e := c.phase(id, 10*time.Minute, fleet.Served); e.Epoch != 1 || e.Attempts != 1 {
				c.Errorf("%+v", e)
			}
		}
		c.empty()
		if before == 0 || one.written() != before || two.written() == 0 {
			c.Errorf("they wrote %d and %d records: this tests nothing", before, two.written())
		}
		c.poured(12)
	})
}

// TestDeskKilled: a desk is killed when it has written and nobody was told yet.
// The machine asks the other one, finds what was written, and goes on from there.
func TestDeskKilled(t *testing.T) {
	for _, p := range []fleet.Phase{fleet.Claimed, fleet.Brewing, fleet.Served, fleet.Again} {
		t.Run(string(p), func(t *testing.T) {
			open(t, func(c *cafe) {
				var opts []option
				switch p {
				case fleet.Claimed:
					opts = []option{lateCup}
				case fleet.Again:
					opts = []option{at("on grinder", func(s *station) { s.plant.Fault(faultJam) }), at("push", mend)}
				}
				dead := make(chan struct{})
				var two *counter
				c.desks[0].after(p, func(d *counter) {
					d.die()
					close(dead)
				})
				ann := c.start("ann", opts...)
				id := c.order(orderN(1))
				<-dead
				two = c.desk("desk2")
				e := c.ended(id, 3*time.Minute, fleet.Served)
				if p != fleet.Again && (e.Epoch != 1 || e.Attempts != 1) || p == fleet.Again && (e.Epoch != 2 || len(e.Past) != 1) {
					c.Errorf("%+v", e)
				}
				if n := ann.count("updated brewing"); p == fleet.Brewing && n != 1 {
					c.Errorf("%d fences were told as taken: after an unanswered one a new one is needed, and no more", n)
				}
				if d := ann.last("on grinder").Sub(ann.last("update brewing")); d > fleet.FenceTime {
					c.Errorf("the grinder went on %v after the fence", d)
				}
				if p != fleet.Served && two.written() == 0 {
					c.Error("the second desk wrote nothing: this tests nothing")
				}
				c.poured(1)
			})
		})
	}
}

// TestDesksAway: no desk is there while a drink is made. It is finished, the end
// stays in the journal and is told when a desk is back; until then nothing else is
// begun, and without a desk nothing is begun at all.
func TestDesksAway(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("did on pump", func(*station) { go c.desks[0].stop() }))
		id := c.order(orderN(1))
		ann.reached("push", 3)
		c.poured(1)
		next := c.order(orderN(2))
		pulls := ann.count("next")
		c.pause(10 * time.Minute)
		if n := ann.count("next"); n != pulls {
			c.Error("it asked for an order with an outcome that is not confirmed")
		}
		if st := ann.j.State(journal.Key{Order: id, Epoch: 1}); st.Phase != journal.Ended {
			c.Errorf("the journal says %s", st.Phase)
		}
		if e := c.get(id); e.Phase != fleet.Brewing {
			c.Errorf("%s without a desk", e.Phase)
		}
		bob := c.start("bob")
		c.pause(time.Minute)
		if n := bob.count("next"); n != 0 {
			c.Error("it asked for an order before it heard whether it is in service")
		}
		c.desk("desk2")
		c.phase(id, 10*time.Second, fleet.Served)
		c.ended(next, time.Minute, fleet.Served)
		waitFor(c, "the journal", func() bool { return ann.j.State(journal.Key{Order: id, Epoch: 1}).Phase == journal.Confirmed })
		c.said(id, fleet.Served)
		c.poured(2)
	})
}

// TestStopWithoutDesk: a machine that is told to stop while no desk is there ends,
// and its next run brings the end.
func TestStopWithoutDesk(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", at("did on pump", func(*station) { go c.desks[0].stop() }))
		id := c.order(orderN(1))
		ann.reached("push", 2)
		begin := time.Now()
		ann.stop()
		<-ann.ended
		if d := time.Since(begin); d > 30*time.Second { // 20 s to settle it, and 5 for the last word
			c.Errorf("it ended after %v", d)
		}
		c.desk("desk2")
		ann.run()
		c.ended(id, time.Minute, fleet.Served)
		c.poured(1)
	})
}

// TestLateRequest: a request of a machine is held back on its way and arrives when
// the order has gone on. Whatever it asked for, it changes nothing.
func TestLateRequest(t *testing.T) {
	for _, x := range []struct {
		verb string
		opts []option
		when func(c *cafe, ann *station, id string) // it arrives
		end  fleet.Phase
		cups int
	}{
		// The fence of an order that another one has made since.
		{fleet.DeskFence, nil, func(c *cafe, ann *station, id string) {
			ann.die()
			c.start("bob")
			c.phase(id, time.Minute, fleet.Served)
		}, fleet.Served, 1},
		// The same of one that it claimed, was taken over, and is claimed by another.
		{fleet.DeskFence, []option{lateCup}, func(c *cafe, ann *station, id string) {
			ann.die()
			c.taken(id, time.Minute, fleet.Claimed, c.start("bob", lateCup))
		}, fleet.Served, 1},
		// The claim, when what it asks for was done by a later one.
		{fleet.DeskClaim, []option{lateCup}, func(c *cafe, ann *station, id string) { c.taken(id, time.Minute, fleet.Brewing, ann) }, fleet.Served, 1},
		// The end of a start that a person has had made again.
		{fleet.DeskEnd, nil, func(c *cafe, ann *station, id string) {
			ann.die()
			c.start("bob")
			c.makeAgain(c.phase(id, limit+time.Minute, fleet.Unknown))
			c.phase(id, time.Minute, fleet.Brewing)
		}, fleet.Served, 2},
	} {
		t.Run(fmt.Sprintf("%s %d", x.verb, len(x.opts)), func(t *testing.T) {
			open(t, func(c *cafe) {
				held := make(chan []byte, 1)
				var once atomic.Bool
				ask := regexp.MustCompile(`PUB coffee\.desk\.ann\.` + x.verb + ` \S+ (\d+)\r\n`)
				ann := c.start("ann", append(x.opts, func(s *station) {
					s.wire = func(toBroker bool, p []byte) []byte {
						m := ask.FindSubmatchIndex(p) // of the whole, and of the body's length
						if !toBroker || m == nil || once.Swap(true) {
							return p
						}
						n, _ := strconv.Atoi(string(p[m[2]:m[3]]))
						held <- bytes.Clone(p[m[1] : m[1]+n])
						return slices.Delete(p, m[0], m[1]+n+len("\r\n"))
					}
				})...)
				id := c.order(orderN(1))
				body := <-held
				x.when(c, ann, id)
				before := c.get(id)
				c.note("late", "%s arrives: %s", x.verb, body)
				c.raw().pub(fleet.DeskSubject("ann", x.verb), string(body)) // its sender hears no answer
				told, err := c.shop.Requester().Request(c.Context(), fleet.DeskSubject("ann", x.verb), body)
				var answer fleet.Told
				if err = errors.Join(err, json.Unmarshal(told, &answer)); err != nil || answer.Code != fleet.DeskConflict {
					c.Errorf("%v: %s", err, told)
				}
				if now := c.get(id); now.Revision != before.Revision {
					c.Errorf("it made %s of %s", now.Phase, before.Phase)
				}
				c.ended(id, 2*time.Minute, x.end)
				c.pause(time.Minute)
				c.poured(x.cups)
			})
		})
	}
}

// TestInAnothersName: who may publish as ann can't speak for bob, and the other way
// round.
func TestInAnothersName(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann", lateCup)
		id := c.order(orderN(1))
		e := c.taken(id, time.Minute, fleet.Claimed, ann)
		for _, verb := range []string{fleet.DeskClaim, fleet.DeskFence, fleet.DeskRelease, fleet.DeskDoubt, fleet.DeskPark, fleet.DeskEnd} {
			for _, as := range []string{"bob", "ann"} {
				owner := *e.Owner
				if as == "ann" {
					owner.Machine = "bob"
				}
				b, _ := json.Marshal(fleet.Ask{Nonce: "n", Owner: owner, Order: id, Revision: e.Revision, Epoch: 1, Outcome: fleet.Made})
				reply, err := c.shop.Requester().Request(c.Context(), fleet.DeskSubject(as, verb), b)
				var told fleet.Told
				if err = errors.Join(err, json.Unmarshal(reply, &told)); err != nil || told.Code != fleet.DeskRefused {
					c.Errorf("%s as %s: %v %+v", verb, as, err, told)
				}
			}
		}
		if now := c.get(id); now.Revision != e.Revision {
			c.Errorf("it became %s", now.Phase)
		}
		c.ended(id, time.Minute, fleet.Served)
		c.poured(1)
	})
}

// TestBookWentBack: the journal knows a start of an epoch that the book has not
// come to, or not fenced: the book went back. Nothing is poured on its word, and
// the order waits for a person, above every start that was lost.
func TestBookWentBack(t *testing.T) {
	for _, x := range []struct {
		name  string
		epoch int // that the journal knows
		by    string
	}{{"accepted", 1, ""}, {"accepted, a later start", 3, ""}, {"claimed by another", 1, "zoe"}} {
		t.Run(x.name, func(t *testing.T) {
			open(t, func(c *cafe) {
				e := c.create(orderN(1))
				k := journal.Key{Order: e.Order.ID, Epoch: x.epoch}
				ann := c.start("ann")
				if err := errors.Join(ann.j.Start(k, journal.Note{Counter: -1}), ann.j.End(k, journal.Untouched, journal.Reason{}), ann.j.Confirm(k), ann.j.CupTaken()); err != nil {
					c.Fatal(err)
				}
				if x.by != "" {
					taken, err := e.Take(fleet.Owner{Machine: x.by, Journal: "x", Boot: "y"})
					c.write(e, taken, err)
				}
				c.publish(e, e.Order.ID)
				e = c.phase(e.Order.ID, time.Minute, fleet.Unknown)
				if e.Epoch != 101 || e.Machine() != "ann" || e.By != "ann" || e.Code != fleet.CodeBookBack {
					c.Errorf("%+v", e)
				}
				c.empty()
				if ann.edges() > 0 || ann.count("update brewing") > 0 {
					c.Error("it was begun")
				}
				// A person wants it: now it is beyond what the journal knows.
				c.makeAgain(e)
				if e := c.ended(e.Order.ID, time.Minute, fleet.Served); e.Epoch != 102 {
					c.Errorf("%+v", e)
				}
				c.poured(1)
			})
		})
	}
}

// TestFenceWentBack: the same of a fence: it is this machine's in all parts, and
// its journal knows a later start.
func TestFenceWentBack(t *testing.T) {
	open(t, func(c *cafe) {
		e := c.create(orderN(1))
		k := journal.Key{Order: e.Order.ID, Epoch: 2}
		ann := c.start("ann")
		if err := errors.Join(ann.j.Start(k, journal.Note{Counter: -1}), ann.j.End(k, journal.Made, journal.Reason{}), ann.j.Confirm(k), ann.j.CupTaken()); err != nil {
			c.Fatal(err)
		}
		fenced, err := e.Fence(fleet.Owner{Machine: "ann", Journal: ann.j.ID(), Boot: "boot-1"})
		c.write(e, fenced, err)
		c.publish(e, e.Order.ID)
		c.phase(e.Order.ID, time.Minute, fleet.Unknown)
		c.empty()
		if ann.edges() > 0 {
			c.Error("it was begun")
		}
	})
}

// TestOrphan: the queue has an order that the book has lost. No machine makes it,
// none throws it away, and it waits for what the shop says.
func TestOrphan(t *testing.T) {
	open(t, func(c *cafe) {
		o := orderN(1)
		body := string(o.Encode())
		ann, bob := c.start("ann"), c.start("bob")
		c.raw().order(black, o.ID, body)
		c.phase(c.order(orderN(2)), time.Minute, fleet.Served)
		c.pause(10 * time.Minute)
		list, err := c.shop.Orders().Stored(c.Context())
		if err != nil || len(list) != 1 || list[0].Order != o.ID {
			c.Errorf("in the queue: %+v %v", list, err)
		}
		if n := ann.count("ticket") + bob.count("ticket"); n < 10 || n > 120 {
			c.Errorf("it came %d times in 10 minutes", n)
		}
		c.poured(1)
		if _, err := c.act(fleet.Orphan(o, claimOf(o).Portion, "shop", fleet.Reason{})); err != nil {
			c.Fatal(err)
		}
		c.empty()
		c.poured(1)
	})
}

// TestAgainInHand: an order that waits for its next portion is left until it has
// one, or has ended for want of it.
func TestAgainInHand(t *testing.T) {
	open(t, func(c *cafe) {
		c.noRemake = true
		ann := c.start("ann", at("on grinder", func(s *station) { s.plant.Fault(faultJam) }), at("push", mend))
		id := c.order(orderN(1))
		e := c.phase(id, time.Minute, fleet.Again)
		c.pause(2 * time.Minute)
		if n := ann.count("ticket"); n < 8 || n > 100 {
			c.Errorf("it came %d times", n)
		}
		none, err := e.FailStock(fleet.Reason{Code: fleet.CodeOutOfStock})
		if err == nil {
			_, err = c.act(none)
		}
		if err != nil {
			c.Fatal(err)
		}
		c.ended(id, 20*time.Second, fleet.Failed)
		c.poured(0)
	})
}

// TestSpare: a spare takes only while enough orders wait that nobody has in hand.
func TestSpare(t *testing.T) {
	open(t, func(c *cafe) {
		spare := c.start("spare", func(s *station) { s.cfg.MinWaiting = 2 })
		c.pause(3 * time.Second)
		first := c.order(orderN(1))
		c.pause(time.Minute)
		if n := spare.count("ticket"); n != 0 {
			c.Error("it took an order while one waits")
		}
		c.order(orderN(2))
		c.taken(first, 5*time.Second, fleet.Brewing, spare)
		c.phase(first, time.Minute, fleet.Served)
		c.pause(time.Minute)
		if n := spare.count("ticket"); n != 1 {
			c.Errorf("it took %d", n)
		}
		c.poured(1)
	})
}

// TestMenuOfTheShop: the water of a drink is the menu's that the shop has now, and
// a menu that can't be used changes nothing.
func TestMenuOfTheShop(t *testing.T) {
	open(t, func(c *cafe) {
		ann := c.start("ann")
		ann.reached("next", 1)
		flow := func(n int) float64 {
			c.ended(c.order(orderN(n)), time.Minute, fleet.Served)
			cup, _ := ann.plant.TakeCup()
			return cup.CoffeeML
		}
		before := flow(1)
		menu := fleet.DefaultMenu()
		small := menu.Sizes[fleet.Small]
		small.Water *= 2
		menu.Sizes[fleet.Small] = small
		b, _ := json.Marshal(menu)
		if err := c.shop.Settings().Put(c.Context(), fleet.KeyMenu, b); err != nil {
			c.Fatal(err)
		}
		c.pause(time.Second) // well within the next word by itself
		if after := flow(2); after < 1.7*before {
			c.Errorf("%.0f ml and then %.0f ml", before, after)
		}
	})
}

// scripted is a broker that answers a machine's requests from a list.
type scripted struct {
	t       *testing.T
	answers []string
	err     error
	asked   []string
	body    string // of the last request
}

func (r *scripted) Request(_ context.Context, subject string, body []byte) ([]byte, error) {
	r.asked, r.body = append(r.asked, subject), string(body)
	if r.err != nil {
		return nil, r.err
	}
	var a fleet.Ask
	if err := json.Unmarshal(body, &a); err != nil || len(r.answers) == 0 {
		r.t.Fatalf("asked %s once more: %v", subject, err)
	}
	answer := strings.ReplaceAll(r.answers[0], "NONCE", a.Nonce)
	r.answers = r.answers[1:]
	return []byte(answer), nil
}

// TestAnswers: what a desk's answer means to the machine. What it can't make sense
// of means that nobody knows.
func TestAnswers(t *testing.T) {
	id := orderN(1).ID
	c := claimOf(orderN(1))
	c.Phase = fleet.Brewing
	b, err := json.Marshal(fleet.Told{Nonce: "NONCE", Entry: fleet.Entry{Claim: c, Revision: fleet.Revision{Seq: 1, Rec: "r1"}}})
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	certain := []error{fleet.ErrNotFound, fleet.ErrConflict, fleet.ErrNotAllowed, fleet.ErrClosed}
	for name, c := range map[string]struct {
		answers []string
		want    error
	}{
		"done":               {[]string{good}, nil},
		"busy, then done":    {[]string{`{"nonce":"NONCE","code":"busy"}`, `{"nonce":"NONCE","code":"busy"}`, good}, nil},
		"none":               {[]string{`{"nonce":"NONCE","code":"none"}`}, fleet.ErrNotFound},
		"conflict":           {[]string{`{"nonce":"NONCE","code":"conflict"}`}, fleet.ErrConflict},
		"closed":             {[]string{`{"nonce":"NONCE","code":"closed"}`}, fleet.ErrClosed},
		"refused":            {[]string{`{"nonce":"NONCE","code":"refused"}`}, fleet.ErrNotAllowed},
		"unsure":             {[]string{`{"nonce":"NONCE","code":"no_answer"}`}, fleet.ErrNoAnswer},
		"of a later version": {[]string{`{"nonce":"NONCE","code":"maybe"}`}, fleet.ErrNoAnswer},
		"to an earlier run":  {[]string{`{"nonce":"other","entry":{"order":{"id":"` + id + `"},"phase":"brewing"}}`}, fleet.ErrNoAnswer},
		"no, to an earlier":  {[]string{`{"nonce":"other","code":"refused"}`}, fleet.ErrNoAnswer},
		"nothing":            {[]string{``}, fleet.ErrNoAnswer},
		"another order":      {[]string{strings.Replace(good, id, orderN(2).ID, 1)}, fleet.ErrNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, verb := range []string{fleet.DeskTake, fleet.DeskFence} {
					r := &scripted{t: t, answers: c.answers}
					d := worker.NewDesk(r, "ann", nil)
					var err error
					if verb == fleet.DeskTake {
						_, err = d.Take(t.Context(), id)
					} else {
						_, err = d.Ask(t.Context(), verb, fleet.Entry{Claim: claimOf(orderN(1))}, fleet.Ask{})
					}
					if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
						t.Errorf("%s: %v, want %v", verb, err, c.want)
					}
					for _, other := range certain {
						if errors.Is(err, other) && other != c.want {
							t.Errorf("%s: %v means %v as well", verb, err, other)
						}
					}
					if r.asked[0] != "coffee.desk.ann."+verb {
						t.Errorf("asked on %s", r.asked[0])
					}
				}
			})
		})
	}
	// What an answer says of the book is kept before the answer is heard, and goes with
	// the next request; one that did not hear this machine's own says nothing.
	seen := &memory{}
	told := strings.Replace(good, `"nonce":"NONCE"`, `"nonce":"NONCE","mark":{"made":"2026-11-29T10:00:00Z","seq":7,"rec":"r7","at":"2026-11-29T10:00:00Z"}`, 1)
	d := worker.NewDesk(&scripted{t: t, answers: []string{told, told, told}}, "ann", seen)
	if _, err := d.Take(t.Context(), id); err != nil || seen.mark.Seq != 7 || seen.mark.Rec != "r7" {
		t.Errorf("%v, kept %+v", err, seen.mark)
	}
	next := &scripted{t: t, answers: []string{good}}
	if _, err := worker.NewDesk(next, "ann", seen).Take(t.Context(), id); err != nil || seen.mark.Seq != 7 || !strings.Contains(next.body, `"mark":{"made":"2026-11-29T10:00:00Z","seq":7,"rec":"r7"`) {
		t.Errorf("%v, kept %+v, asked %s", err, seen.mark, next.body)
	}
	seen.err = errors.New("a full disk")
	if _, err := d.Take(t.Context(), id); err != nil {
		t.Errorf("%v: it is kept already", err)
	}
	seen.mark = fleet.Mark{}
	if _, err := d.Take(t.Context(), id); !errors.Is(err, fleet.ErrNoAnswer) {
		t.Errorf("an answer that could not be kept was heard: %v", err)
	}
	// Nobody is there: it is not asked again, and nobody knows.
	r := &scripted{t: t, err: fleet.ErrNobody}
	if _, err := worker.NewDesk(r, "ann", nil).Take(t.Context(), id); !errors.Is(err, fleet.ErrNobody) || len(r.asked) != 1 {
		t.Errorf("%v after %d", err, len(r.asked))
	}
	// Busy for longer than a machine waits.
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{t: t, answers: slices.Repeat([]string{`{"nonce":"NONCE","code":"busy"}`}, 1000)}
		begin := time.Now()
		_, err := worker.NewDesk(r, "ann", nil).Take(t.Context(), id)
		if !errors.Is(err, fleet.ErrNoAnswer) || time.Since(begin) != fleet.DeskTime || len(r.asked) < 10 {
			t.Errorf("%v after %v and %d requests", err, time.Since(begin), len(r.asked))
		}
	})
}

// memory is where a machine keeps what it has seen of the book.
type memory struct {
	mark fleet.Mark
	err  error
}

func (m *memory) Mark() fleet.Mark { return m.mark }
func (m *memory) Raise(mark fleet.Mark) error {
	if m.err == nil {
		m.mark = mark
	}
	return m.err
}

// TestPaced: a machine says that it is here as often as the shop asks it to, and
// whatever changes at once.
func TestPaced(t *testing.T) {
	var said atomic.Int32
	open(t, func(c *cafe) {
		ann := c.start("ann", func(s *station) {
			s.pace = 15 * time.Second
			s.wire = func(toBroker bool, p []byte) []byte {
				if toBroker && bytes.Contains(p, []byte("PUB coffee.desk.ann.presence ")) {
					said.Add(1)
				}
				return p
			}
		})
		ann.reached("next", 1)
		c.pause(time.Minute)
		before := said.Load()
		c.pause(5 * time.Minute)
		if n := said.Load() - before; n != 20 {
			c.Errorf("it said %d times in five minutes that it is here, wanted every 15 s", n)
		}
		id := c.order(orderN(1))
		waitFor(c, "the shop to hear that it has an order", func() bool {
			here, err := c.shop.Fleet().Present(c.Context())
			return err == nil && len(here) == 1 && here[0].Order == id
		})
		if e := c.get(id); e.Phase != fleet.Brewing && e.Phase != fleet.Claimed {
			c.Errorf("it was heard when the order was %s", e.Phase)
		}
		c.ended(id, time.Minute, fleet.Served)
	})
}

// TestSpareAlone: beside a machine that is busy, a spare takes only what nobody else
// makes, and leaves what waits for longer to the one whose work it is.
func TestSpareAlone(t *testing.T) {
	open(t, func(c *cafe) {
		both := []fleet.Class{black, {Bean: "robusta", Milk: fleet.NoMilk}}
		c.turns.Store(true)
		busy := c.start("busy")
		spare := c.start("spare", func(s *station) { s.cfg.MinWaiting, s.cfg.Classes = 4, both })
		first := c.order(orderN(1))
		c.taken(first, 5*time.Second, fleet.Brewing, busy)
		second, third := c.order(orderN(2)), orderN(3)
		third.Bean = "robusta"
		c.order(third)
		c.taken(third.ID, 5*time.Second, fleet.Brewing, spare)
		if e := c.ended(second, 2*time.Minute, fleet.Served); e.Machine() != "busy" {
			c.Errorf("%s made what it had only to wait for", e.Machine())
		}
		c.ended(third.ID, 2*time.Minute, fleet.Served)
		if n := spare.count("ticket"); n != 1 {
			c.Errorf("the spare took %d", n)
		}
		c.poured(3)
	})
}
