package web

import (
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/brokertest"
)

// The fold over the real stream: history, what comes after it, and a percent
// that is never stored.
func TestTheRealStream(t *testing.T) {
	b := brokertest.Start(t)
	maker := b.Connect("maker").Events()
	put := func(e fleet.Event) {
		t.Helper()
		e.At = time.Now()
		if err := maker.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	put(ada(idA))
	h := build(t)
	h.web.Events = b.Connect("web").Events()
	h.run()
	page := func() string { return text(t, h.ask("GET", h.web.pathOf(idA), "")) }
	contains(t, page(), "Thank you, Ada!")
	put(fleet.Event{Order: idA, Kind: fleet.EvBrewing, Epoch: 1, Machine: "zoe"})
	h.until(func() bool { return strings.Contains(page(), "Zoe makes your coffee") })
	h.until(func() bool {
		maker.Live(fleet.Event{Order: idA, Kind: fleet.EvPercent, Epoch: 1, Percent: 33})
		return strings.Contains(page(), `value="33"`)
	})
	put(fleet.Event{Order: idA, Kind: fleet.EvServed, Machine: "zoe", Outcome: fleet.Made})
	h.until(func() bool { return strings.Contains(page(), "Your coffee is ready, Ada!") })
}
