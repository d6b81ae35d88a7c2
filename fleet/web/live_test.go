package web

import (
	"context"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

func TestEventsOfAnOrder(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		c := l.dial()
		defer c.Close()
		in := newReader(t, listen(t, c, path+"/events"))
		first := in.until("Thank you, Ada!")
		if first.id == "" {
			t.Error("the event has no id")
		}
		contains(t, first.data, "Place in the queue", "1 to 2 min", "Cancel the order")
		h.write(id, cup("zoe"))
		contains(t, in.until("Put your cup under Zoe").data, path+"/cup", "Cancel the order")
		h.write(id, brewing("zoe"))
		lacks(t, in.until("Zoe makes your coffee").data, "Cancel the order", path+"/cup")
		h.live(fleet.Event{Order: id, Kind: fleet.EvStep, N: 1, Of: 3, Step: "grind", Percent: 5, Machine: "zoe"})
		in.until("Step 1 of 3: Grinding")
		h.live(fleet.Event{Order: id, Kind: fleet.EvPercent, Percent: 42})
		contains(t, in.until(`value="42"`).data, `id="step"`)
		h.write(id, served("zoe"))
		last := in.until("Your coffee is ready, Ada!")
		if last.id == "" || last.id == first.id {
			t.Errorf("id %q after %q", last.id, first.id)
		}
		contains(t, last.data, "I have it")
		status(t, h.ask("POST", path+"/have", ""), http.StatusSeeOther)
		contains(t, in.until("Enjoy it, Ada!").data, `class="done">Taken away`)
		if e, ok := in.next(); !ok || e.kind != "end" {
			t.Errorf("after the end: %+v %v", e, ok)
		}
		if e, ok := in.next(); ok {
			t.Errorf("something follows the end: %+v", e)
		}
	})
}

// The id of an event is that of what it shows: who comes back hears the present
// state if it looks different, nothing otherwise, and 204 when all was said.
func TestLastEventID(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		// seen is what a reader hears first who has this.
		seen := func(have string) sse {
			c := l.dial()
			defer c.Close()
			start := time.Now()
			e, ok := newReader(t, listen(t, c, path+"/events", "Last-Event-ID: "+have)).next()
			if took := time.Since(start); !ok || took > time.Second && have != "" {
				t.Errorf("who had %q heard %+v after %s", have, e, took)
			}
			return e
		}
		taken := seen("")
		h.write(id, brewing("zoe"))
		made := seen(taken.id)
		if !strings.Contains(made.data, "Zoe makes your coffee") || made.id == taken.id {
			t.Errorf("who missed one heard %+v", made)
		}
		if odd := seen("<nonsense>"); odd != made {
			t.Errorf("who had nonsense heard %+v", odd)
		}

		level := l.dial()
		in := newReader(t, listen(t, level, path+"/events", "Last-Event-ID: "+made.id))
		h.live(fleet.Event{Order: id, Kind: fleet.EvStep, N: 1, Of: 2, Step: "pour", Machine: "zoe"})
		pour, _ := in.next()
		if pour.id == made.id || !strings.Contains(pour.data, "Pouring") {
			t.Errorf("who missed nothing heard first %+v", pour)
		}
		level.Close()
		if behind := seen(made.id); behind != pour { // a step is stored nowhere, and is not missed all the same
			t.Errorf("who missed a step heard %+v", behind)
		}

		h.write(id, served("zoe"))
		last := seen(pour.id)
		if !strings.Contains(last.data, "Your coffee is ready") {
			t.Errorf("who missed the end heard %+v", last)
		}
		time.Sleep(keepCall) // nobody said that it was taken away
		over := h.askEvents(path, last.id)
		status(t, over, http.StatusOK)
		e, _ := newReader(t, over.Body).next()
		lacks(t, e.data, "I have it")
		status(t, h.askEvents(path, e.id), http.StatusNoContent)
		status(t, h.askEvents(path, pour.id), http.StatusOK)
	})
}

// askEvents asks for events that end at once.
func (h *house) askEvents(path, have string) *http.Response {
	w := &deadlines{ResponseRecorder: *httptest.NewRecorder()}
	return h.askInto(w, "GET", path+"/events", header("Last-Event-ID", have))
}

// A burst of events is drawn once.
func TestBurstIsOnePiece(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		id, path := h.order("Ada")
		h.write(id, brewing("zoe"))
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
			h.records.live(fleet.Event{Order: id, Kind: fleet.EvPercent, Epoch: 1, Percent: p + 1})
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
	withServer(t, func(h *house, l *pipes) {
		c := l.dial()
		defer c.Close()
		in := newReader(t, listen(t, c, "/board/events"))
		in.until("Nobody is called")
		id, _ := h.order("Ada Lovelace")
		h.write(id, brewing("zoe"))
		contains(t, in.until("at Zoe").data, "<bdi>Ada</bdi>")
		h.write(id, served("zoe"))
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
		status(t, h.ask("GET", "/readyz", ""), http.StatusOK)
		h.records.setBroken(true)
		synctest.Wait()
		contains(t, text(t, h.ask("GET", path, "")), "no fresh news", "Thank you, Ada!")
		contains(t, text(t, h.ask("GET", "/board", "")), "no fresh news")
		// One server of several that goes away is no reason to be called unready.
		status(t, h.ask("GET", "/readyz", ""), http.StatusOK)
		time.Sleep(passesWithin + time.Second)
		res := h.ask("GET", "/readyz", "")
		status(t, res, http.StatusServiceUnavailable)
		contains(t, text(t, res), "broke off")
		time.Sleep(time.Minute - passesWithin)
		h.step(id, brewing("zoe"))
		h.step(id, served("zoe"))
		h.records.setBroken(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		page := text(t, h.ask("GET", path, ""))
		contains(t, page, "Your coffee is ready, Ada!")
		lacks(t, page, "no fresh news")
	})
}

func TestEventsForm(t *testing.T) {
	got := newPiece([]byte("\n<p>a\r\n</p>\n<b>\n\n"))
	if want := "id: " + got.id + "\ndata: <p>a\ndata: </p>\ndata: <b>\n\n"; string(got.event) != want {
		t.Errorf("%q, want %q", got.event, want)
	}
	if len(got.id) != 12 || got.id != newPiece([]byte("<p>a</p><b>")).id && got.id == newPiece([]byte("<p>b</p>")).id {
		t.Errorf("id %q", got.id)
	}
}

// However many look at a page, it is drawn once in each language for all of them,
// once in a breath, and only when it looks different.
func TestDrawnOnceForAll(t *testing.T) {
	withServer(t, func(h *house, l *pipes) {
		drawn := map[string]*atomic.Int32{}
		for lang, p := range h.web.pages {
			n := new(atomic.Int32)
			drawn[lang] = n
			p.t.Funcs(template.FuncMap{"t": func(key string, args ...any) string {
				if key == "order.progress" { // once in each picture of a drink that is made
					n.Add(1)
				}
				return p.say(key, args...)
			}})
		}
		id, path := h.order("Ada")
		h.write(id, brewing("zoe"))
		time.Sleep(time.Hour) // its wait is over, and shrinks no more
		const viewers = 40
		var done sync.WaitGroup
		var there atomic.Int32
		var conns []net.Conn
		for i := range viewers {
			time.Sleep(7 * time.Millisecond) // nobody comes at the same moment
			c := l.dialFrom(fmt.Sprintf("192.0.2.%d:1", i+1))
			conns = append(conns, c)
			in := newReader(t, listen(t, c, path+"/events", "Accept-Language: "+[]string{"en", "fr"}[i%2]))
			done.Go(func() {
				for e, ok := in.next(); ok; e, ok = in.next() {
					if strings.Contains(e.data, `value="100"`) {
						there.Add(1)
					}
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		const news = 100
		for p := range news {
			h.records.live(fleet.Event{Order: id, Kind: fleet.EvPercent, Epoch: 1, Percent: p + 1})
			time.Sleep(breath / 4)
		}
		breaths := int32(time.Since(start) / breath)
		time.Sleep(2 * breath)
		synctest.Wait()
		if n := there.Load(); n != viewers {
			t.Errorf("%d of %d saw the last news within two breaths", n, viewers)
		}
		for lang, n := range drawn {
			if n := n.Load(); n > breaths+3 || n < breaths/2 {
				t.Errorf("%s: drawn %d times in %d breaths for %d who looked", lang, n, breaths, viewers/2)
			}
			n.Store(0)
		}
		other, _ := h.order("Bob") // news, but not of this page
		h.write(other, brewing("leo"))
		time.Sleep(time.Minute)
		for lang, n := range drawn {
			if n := n.Load(); n != 0 {
				t.Errorf("%s: drawn %d times, and it looked the same", lang, n)
			}
		}
		for _, c := range conns {
			c.Close()
		}
		done.Wait()
		time.Sleep(2 * heartbeat)
		synctest.Wait()
		h.web.gallery.mu.Lock()
		defer h.web.gallery.mu.Unlock()
		if n := len(h.web.gallery.pictures); n != 0 {
			t.Errorf("%d pictures hang where nobody looks", n)
		}
	})
}

// TestReadyWhileOrdersAreTaken: readyz is not ok while the shop takes no orders, and
// says the code of the reason.
func TestReadyWhileOrdersAreTaken(t *testing.T) {
	h := build(t)
	var troubles []fleet.Trouble
	var down error
	h.web.Troubles = func(context.Context) ([]fleet.Trouble, error) { return troubles, down }
	h.run()
	fills := fleet.Trouble{About: "coffee-book", Reason: fleet.Reason{Code: fleet.CodeStoreFills}}
	full := fleet.Trouble{About: "coffee-book", Reason: fleet.Reason{Code: fleet.CodeStoreFull}, Closed: true}
	for _, tc := range []struct {
		troubles []fleet.Trouble
		down     error
		want     int
		says     string
	}{
		{want: http.StatusOK}, {[]fleet.Trouble{fills}, nil, http.StatusOK, "ok"}, {[]fleet.Trouble{full, fills}, nil, http.StatusServiceUnavailable, fleet.CodeStoreFull},
		{nil, fleet.ErrNobody, http.StatusServiceUnavailable, "no controller"},
	} {
		troubles, down = tc.troubles, tc.down
		res := h.ask("GET", "/readyz", "")
		status(t, res, tc.want)
		contains(t, text(t, res), tc.says)
	}
}

// What becomes of a machine while nobody orders is on the operators' page within two
// seconds, in its own stream and in one of several pages: that it may be opened, or that it
// is locked.
func TestMachinesAreLiveWithoutOrders(t *testing.T) {
	for _, path := range []string{"/fleet/events", "/events?of=/board&of=/fleet"} {
		withServer(t, func(h *house, l *pipes) {
			is := func(state fleet.State) {
				h.crew.mu.Lock()
				defer h.crew.mu.Unlock()
				h.crew.present = []fleet.Presence{{Machine: "zoe", State: state, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, Cup: "page"}}
			}
			is(fleet.StateReady)
			c := l.dialFrom("127.0.0.1:1")
			defer c.Close()
			in := newReader(t, listen(t, c, path))
			in.until("mark-ok")
			time.Sleep(heartbeat / 4) // the first look is over, and the next heartbeat is far
			is(fleet.StateFault)
			began := time.Now()
			in.until("mark-stop")
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: a fault is shown after %v", path, took)
			}
		})
	}
}
