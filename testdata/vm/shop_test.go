package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/queue"
)

// shop is the customer's connection, from another computer.
type shop struct{ conn *queue.Conn }

func (v *visit) connect(t *testing.T) {
	t.Helper()
	if v.shop != nil {
		v.shop.conn.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := queue.Connect(ctx, queue.Config{Name: "customer", Servers: []string{fmt.Sprintf("nats://127.0.0.1:%d", v.g.broker)}})
	if err != nil {
		t.Fatal(err)
	}
	v.shop = &shop{c}
}

// order is what a customer wants; beans are arabica if nothing is said.
type order struct {
	size, beans, milk string
	sugar             int
}

// order places one and returns its id once it is accepted.
func (v *visit) order(t *testing.T, o order) string {
	t.Helper()
	if o.beans == "" {
		o.beans = "arabica"
	}
	if o.milk == "" {
		o.milk = "free"
	}
	v.orders++
	id := fmt.Sprintf("01JD%s%04d", strings.ToUpper(fmt.Sprintf("%018d", time.Now().UnixNano()%1e18)), v.orders)
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":%q,"bean_type":%q,"milk":%q,"sugar_count":%d}`, id, o.size, o.beans, o.milk, o.sugar)
	var a fleet.Answer
	v.g.eventually(t, time.Minute, "the order to be accepted", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		b, err := v.shop.conn.Requester().Request(ctx, fleet.SubjectRequests, []byte(body))
		if err != nil || json.Unmarshal(b, &a) != nil {
			return false
		}
		if !a.OK() && a.Code != fleet.CodeUnavailable && a.Code != fleet.CodeNotOnMenu {
			t.Fatalf("the shop says %+v", a)
		}
		return a.OK()
	})
	return id
}

// claim is where an order stands.
func (v *visit) claim(t *testing.T, id string) fleet.Claim {
	t.Helper()
	var last error
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		e, err := v.shop.conn.Book().Read(ctx, id)
		cancel()
		if err == nil {
			return e.Claim
		}
		last = err
		<-time.After(500 * time.Millisecond)
	}
	t.Fatal(last)
	return fleet.Claim{}
}

// phase waits until an order is in a phase.
func (v *visit) phase(t *testing.T, id string, want fleet.Phase) fleet.Claim {
	t.Helper()
	return v.claimed(t, id, string(want), func(c fleet.Claim) bool { return c.Phase == want })
}

// claimed waits until an order's claim is so.
func (v *visit) claimed(t *testing.T, id, what string, is func(fleet.Claim) bool) fleet.Claim {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for {
		c := v.claim(t, id)
		if is(c) {
			return c
		}
		if c.Phase.Ended() || time.Now().After(deadline) {
			t.Fatalf("%s is %s (%s, %s), epoch %d, and should be %s", id, c.Phase, c.Outcome, c.Reason.Text, c.Epoch, what)
		}
		<-time.After(250 * time.Millisecond)
	}
}

// spoiled waits until an order's first try came out so.
func (v *visit) spoiled(t *testing.T, id, cause string) {
	t.Helper()
	c := v.claimed(t, id, "tried once", func(c fleet.Claim) bool { return c.Epoch == 2 })
	i := slices.IndexFunc(c.Past, func(p fleet.Past) bool { return p.Epoch == 1 })
	if i < 0 || c.Past[i].Outcome != fleet.Spoiled || c.Past[i].Code != cause {
		t.Errorf("the first try: %+v", c.Past)
		return
	}
	t.Logf("the first try is spoiled: %s", c.Past[i].Reason.Text)
}

// planned is one switching of a timeline.
type planned struct {
	AtMS int64  `json:"at_ms"`
	Kind string `json:"kind"`
	Part string `json:"part"`
	Text string `json:"text"`
}

// timeline is what the machine would do for a drink, as it says itself. A pour ends
// by volume: the metal gives 7 ml/s and not the 6 of the calibration, so what comes
// after it comes earlier by that.
func (g *guest) timeline(t *testing.T, drink string, waterML int64) []planned {
	t.Helper()
	var a struct{ Events []planned }
	if err := json.Unmarshal([]byte(g.must(t, "barista timeline "+drink+" --config /etc/barista/zoe.yaml --json")), &a); err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(a.Events, func(p planned) bool { return p.Kind != "on" && p.Kind != "off" })
	var on, earlier int64
	for i, p := range list {
		switch {
		case p.Part == "pump" && p.Kind == "on":
			on = p.AtMS
		case p.Part == "pump":
			earlier = p.AtMS - on - waterML*1000/7
		}
		list[i].AtMS -= earlier
	}
	return list
}

// compare says how far each switching was beside the timeline's. The order must
// be the same.
func (g *guest) compare(t *testing.T, want []planned, list []event) []time.Duration {
	t.Helper()
	got := changes(list)
	if len(got) != len(want) {
		t.Fatalf("the kernel saw %d switchings, the timeline has %d:\n%v", len(got), len(want), got)
	}
	var late []time.Duration
	for i, w := range want {
		e := got[i]
		if e.Part != w.Part || e.On != (w.Kind == "on") {
			t.Fatalf("switching %d is %v, and should be: %s", i, e, w.Text)
		}
		off := e.At - got[0].At - time.Duration(w.AtMS)*time.Millisecond
		late = append(late, off.Abs())
	}
	return late
}

// report is how far all switchings of the drinks that went well were beside
// their timelines.
func (v *visit) report(t *testing.T) {
	if len(v.late) == 0 {
		return
	}
	slices.Sort(v.late)
	at := func(share float64) time.Duration { return v.late[min(len(v.late)-1, int(share*float64(len(v.late))))] }
	t.Logf("%d switchings beside their timelines: median %v, p99 %v, worst %v", len(v.late), at(0.5), at(0.99), v.late[len(v.late)-1])
}

// freshCup changes the cup for another one. A machine that has just been started
// may not have seen the last one go, and waits until it sees the place empty.
func (v *visit) freshCup(t *testing.T) {
	t.Helper()
	mark := v.g.mark(t)
	v.g.do(t, "take", "")
	v.g.until(t, mark, 30*time.Second, "another cup", func(e event) bool { return e.What == "wire" && e.Part == "cup" && e.On })
}

// pouring places an order and waits until its coffee runs; it gives the moment
// at which the pump went on.
func (v *visit) pouring(t *testing.T, o order) (id string, mark int, pump event) {
	t.Helper()
	v.freshCup(t)
	mark = v.g.mark(t)
	id = v.order(t, o)
	pump = v.g.until(t, mark, 2*time.Minute, "the pump to go on", func(e event) bool { return e.Part == "pump" && e.On })
	return id, mark, pump
}

// off waits until every part is off for good and says when the last one went.
func (v *visit) off(t *testing.T, mark int, within time.Duration) time.Duration {
	t.Helper()
	var last event
	v.g.eventually(t, within, "everything to be off", func() bool {
		list := v.g.after(t, mark)
		on := map[string]bool{}
		for _, e := range changes(list) {
			on[e.Part] = e.On
			if !e.On {
				last = e
			}
		}
		for _, is := range on {
			if is {
				return false
			}
		}
		return last.Part != ""
	})
	return last.At
}

// quiet sees that no part goes on for a while of the guest's clock.
func (v *visit) quiet(t *testing.T, mark int, why string, d time.Duration) {
	t.Helper()
	from, err := v.g.now()
	if err != nil {
		t.Fatal(err)
	}
	v.g.eventually(t, 5*time.Minute, "time to pass", func() bool {
		now, err := v.g.now()
		return err == nil && now-from > d
	})
	for _, e := range v.g.after(t, mark) {
		if e.On && e.What != "wire" {
			t.Errorf("%s, and yet: %v", why, e)
		}
	}
}
