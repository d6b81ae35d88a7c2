package web

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

func TestEventsOfAnOrder(t *testing.T) {
	served(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		c := l.dial()
		defer c.Close()
		in := newReader(t, listen(t, c, path+"/events"))
		first := in.until("Thank you, Ada!")
		if first.id != "1" {
			t.Errorf("id %q, want the stream's sequence 1", first.id)
		}
		contains(t, first.data, "Place in the queue", "1 to 2 min", "Cancel the order")
		h.event(fleet.Event{Order: id, Kind: fleet.EvClaimed, Epoch: 1, Machine: "zoe"})
		in.until("Zoe takes your order")
		h.event(fleet.Event{Order: id, Kind: fleet.EvCup, Epoch: 1, Machine: "zoe"})
		contains(t, in.until("Put your cup under Zoe").data, path+"/cup")
		h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
		lacks(t, in.until("Zoe makes your coffee").data, "Cancel the order", path+"/cup")
		h.event(fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, N: 1, Of: 3, Step: "grind", Percent: 5, Machine: "zoe"})
		in.until("Step 1 of 3: Grinding")
		h.events.Live(fleet.Event{Order: id, Kind: fleet.EvPercent, Epoch: 1, Percent: 42})
		contains(t, in.until(`value="42"`).data, `id="step"`)
		h.event(fleet.Event{Order: id, Kind: fleet.EvServed, Epoch: 1, Machine: "zoe"})
		last := in.until("Your coffee is ready, Ada!")
		if last.id != "6" {
			t.Errorf("id %q, want 6", last.id)
		}
		if e, ok := in.next(); !ok || e.kind != "end" {
			t.Errorf("after the end: %+v %v", e, ok)
		}
		if e, ok := in.next(); ok {
			t.Errorf("something follows the end: %+v", e)
		}
	})
}

// The id of an event is the stream's sequence: who comes back hears the present
// state if anything was stored since, nothing otherwise, and 204 when all was
// said.
func TestLastEventID(t *testing.T) {
	served(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
		have := func(seq int) string { return "Last-Event-ID: " + strconv.Itoa(seq) }

		behind := l.dial()
		start := time.Now()
		in := newReader(t, listen(t, behind, path+"/events", have(1)))
		if e, _ := in.next(); time.Since(start) > time.Second || e.id != "2" || !strings.Contains(e.data, "Zoe makes your coffee") {
			t.Errorf("who missed one heard %+v", e)
		}
		behind.Close()

		level := l.dial()
		in = newReader(t, listen(t, level, path+"/events", have(2)))
		h.event(fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: 1, N: 1, Of: 2, Step: "pour", Machine: "zoe"})
		if e, _ := in.next(); e.id != "3" || !strings.Contains(e.data, "Pouring") {
			t.Errorf("who missed nothing heard first %+v", e)
		}
		level.Close()

		odd := l.dial()
		in = newReader(t, listen(t, odd, path+"/events", "Last-Event-ID: <nonsense>"))
		in.until("Zoe makes your coffee")
		odd.Close()

		h.event(fleet.Event{Order: id, Kind: fleet.EvServed, Epoch: 1, Machine: "zoe"})
		status(t, h.askEvents(path, 4), http.StatusNoContent)
	})
}

// askEvents asks for events that end at once.
func (h *house) askEvents(path string, have int) *http.Response {
	w := &deadlines{}
	return h.askInto(w, "GET", path+"/events", header("Last-Event-ID", strconv.Itoa(have)))
}

// A burst of events is drawn once.
func TestBurstIsOnePiece(t *testing.T) {
	served(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
		c := l.dial()
		defer c.Close()
		in := newReader(t, listen(t, c, path+"/events"))
		var pieces atomic.Int32
		var last atomic.Value
		go func() {
			for {
				e, ok := in.next()
				if !ok {
					return
				}
				pieces.Add(1)
				last.Store(e.data)
			}
		}()
		synctest.Wait()
		for p := range 100 {
			h.events.Live(fleet.Event{Order: id, Kind: fleet.EvPercent, Epoch: 1, Percent: p + 1})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		contains(t, last.Load().(string), `value="100"`)
		if n := pieces.Load(); n > 3 { // the first, and at most two for the burst
			t.Errorf("100 percents in one moment were drawn %d times", n)
		}
	})
}

func TestBoardEvents(t *testing.T) {
	served(t, func(h *house, l *pipes) {
		c := l.dial()
		defer c.Close()
		in := newReader(t, listen(t, c, "/board/events"))
		in.until("Nobody is called")
		id, _ := h.order("Ada Lovelace")
		h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
		contains(t, in.until("<bdi>Ada</bdi>").data, "at Zoe")
		h.event(fleet.Event{Order: id, Kind: fleet.EvServed, Epoch: 1, Machine: "zoe"})
		contains(t, in.until("Ada, your coffee is ready.").data, "No coffee is being made")
		start := time.Now()
		in.until("Nobody is called") // five minutes later, without any event
		if took := time.Since(start); took < keepCall-time.Second || took > keepCall+2*heartbeat {
			t.Errorf("the name went away after %s", took)
		}
	})
}

// While the history is read, an order looks younger than it is: no events yet.
func TestNoEventsBeforeTheHistoryIsRead(t *testing.T) {
	h := build(t)
	w := &deadlines{}
	status(t, h.askInto(w, "GET", "/board/events"), http.StatusServiceUnavailable)
	res := h.ask("GET", "/readyz", "")
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "not running")
	status(t, h.ask("GET", "/livez", ""), http.StatusOK)
	h.run()
	status(t, h.ask("GET", "/readyz", ""), http.StatusOK)
}

// A stream that breaks off is followed anew, and pages say that they are stale
// meanwhile.
func TestStreamBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		id, path := h.order("Ada")
		h.events.setBroken(true)
		synctest.Wait()
		contains(t, text(t, h.ask("GET", path, "")), "no fresh news", "Thank you, Ada!")
		contains(t, text(t, h.ask("GET", "/board", "")), "no fresh news")
		res := h.ask("GET", "/readyz", "")
		status(t, res, http.StatusServiceUnavailable)
		contains(t, text(t, res), "broke off")
		time.Sleep(time.Minute)
		h.events.put(fleet.Event{Order: id, Kind: fleet.EvServed, Machine: "zoe"}, time.Now())
		h.events.setBroken(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		page := text(t, h.ask("GET", path, ""))
		contains(t, page, "Your coffee is ready, Ada!")
		lacks(t, page, "no fresh news")
	})
}

func TestEventsForm(t *testing.T) {
	got := string(appendEvent(nil, piece{html: []byte("\n<p>a\r\n</p>\n<b>\n\n"), seq: 7}))
	if want := "id: 7\ndata: <p>a\ndata: </p>\ndata: <b>\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
