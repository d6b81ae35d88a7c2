package web

import (
	"strings"
	"testing"
	"time"

	"barista/fleet"
)

func TestBoard(t *testing.T) {
	h := build(t)
	now := time.Now()
	h.web.book.wall = func() time.Time { return now }
	h.run()
	a, pageA := h.order("Ada Lovelace")
	b, _ := h.order("عائشة بنت")
	c, _ := h.order("Carl")
	h.order("Dora") // waits, and is nobody's business
	h.event(fleet.Event{Order: a, Kind: fleet.EvServed, Machine: "zoe"})
	h.event(fleet.Event{Order: b, Kind: fleet.EvBrewing, Epoch: 1, Machine: "leo"})
	h.event(fleet.Event{Order: c, Kind: fleet.EvCup, Epoch: 1, Machine: "mia"})
	page := text(t, h.ask("GET", "/board", ""))
	contains(t, page, "<bdi>Ada</bdi>", "at Zoe", "<bdi>عائشة</bdi>", "at Leo", "<bdi>Carl</bdi>", "at Mia · cup, please",
		`data-say="Ada, your coffee is ready."`, `content="10;url=/board"`)
	lacks(t, page, "Lovelace", "Dora", a, strings.TrimPrefix(pageA, "/orders/"))
	called, making, _ := strings.Cut(page, `id="making"`)
	contains(t, called, "Ada")
	lacks(t, making, "Ada")
	now = now.Add(keepCall + time.Second)
	lacks(t, text(t, h.ask("GET", "/board", "")), "Ada")
}

func TestBoardHasBounds(t *testing.T) {
	h := open(t)
	for range 40 {
		id, _ := h.order("Ada")
		h.event(fleet.Event{Order: id, Kind: fleet.EvServed, Machine: "zoe"})
		id, _ = h.order("Bob")
		h.event(fleet.Event{Order: id, Kind: fleet.EvBrewing, Epoch: 1, Machine: "leo"})
	}
	page := text(t, h.ask("GET", "/board", ""))
	if n := strings.Count(page, "<bdi>Ada"); n != maxCalled {
		t.Errorf("%d names are called", n)
	}
	if n := strings.Count(page, "<bdi>Bob"); n != maxMaking {
		t.Errorf("%d drinks are being made", n)
	}
}

func TestFirstName(t *testing.T) {
	for name, want := range map[string]string{"Ada": "Ada", "Ada Lovelace": "Ada", "Zoë-Marie X": "Zoë-Marie", "👩🏽‍🚀 Sally": "👩🏽‍🚀", "": ""} {
		if got := firstName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
