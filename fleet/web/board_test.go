package web

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBoard(t *testing.T) {
	h := build(t)
	now := time.Now()
	h.web.book.wall = func() time.Time { return now }
	h.run()
	a, pageA := h.order("Ada Lovelace")
	b, _ := h.order("عائشة بنت")
	c, _ := h.order("Carl")
	d, _ := h.order("Dora")
	e, _ := h.order("Emil")
	f, pageF := h.order("Fay")
	h.write(a, brewing("zoe"), served("zoe"))
	h.write(b, brewing("leo"))
	h.write(c, cup("mia"))
	h.write(e, brewing("max"), parked)
	h.write(f, brewing("ann"), served("ann"))
	status(t, h.ask("POST", pageF+"/have", ""), http.StatusSeeOther) // she has it
	page := text(t, h.ask("GET", "/board", ""))
	number := func(id string) string {
		s, _ := h.web.book.look(id)
		return `<span class="no">` + strconv.Itoa(s.number()) + `</span>`
	}
	contains(t, page, "<bdi>Ada</bdi>", "at Zoe", "<bdi>عائشة</bdi>", "at Leo", "<bdi>Carl</bdi>", "at Mia · cup, please", "at Max · please look at your cup",
		number(a), number(b), number(d), "Medium · Arabica", `data-say="Ada, your coffee is ready."`, `data-call="Ada, your coffee is ready."`, `content="10;url=/board"`)
	lacks(t, page, "Lovelace", "Fay", a, strings.TrimPrefix(pageA, "/orders/"))
	called, rest, _ := strings.Cut(page, `id="making"`)
	making, waiting, _ := strings.Cut(rest, `id="waiting"`)
	contains(t, called, "Ada")
	contains(t, making, "عائشة", "Carl", "Emil")
	contains(t, waiting, "Dora")
	lacks(t, rest, "Ada")
	lacks(t, waiting, "Carl", "Emil")
	now = now.Add(keepCall + time.Second)
	lacks(t, text(t, h.ask("GET", "/board", "")), "Ada")
}

// A screen on the wall shows the board alone: nothing leads away from it.
func TestBoardOnTheWall(t *testing.T) {
	h := open(t)
	page := text(t, h.ask("GET", "/board?kiosk", ""))
	contains(t, page, `content="10;url=/board?kiosk"`, `id="sound"`)
	lacks(t, page, "<nav", "<footer", "Full screen")
	contains(t, text(t, h.ask("GET", "/board", "")), "<nav", "Full screen", `href="/board?kiosk"`)
}

// Nobody is dropped silently: of those that a column has no room for it says how many.
func TestBoardHasBounds(t *testing.T) {
	h := open(t)
	for range mostShown + 3 {
		id, _ := h.order("Ada")
		h.write(id, brewing("zoe"), served("zoe"))
		id, _ = h.order("Bob")
		h.write(id, brewing("leo"))
		h.order("Eve")
	}
	page := text(t, h.ask("GET", "/board", ""))
	for _, name := range []string{"Ada", "Bob", "Eve"} {
		if n := strings.Count(page, "<bdi>"+name); n != mostShown {
			t.Errorf("%d of %s are shown", n, name)
		}
	}
	if n := strings.Count(page, ">and 3 more</p>"); n != 3 {
		t.Errorf("%d columns say whom they left out", n)
	}
	if len(page) > 50<<10 {
		t.Errorf("a full board has %d bytes", len(page))
	}
}

func TestFirstName(t *testing.T) {
	for name, want := range map[string]string{"Ada": "Ada", "Ada Lovelace": "Ada", "Zoë-Marie X": "Zoë-Marie", "👩🏽‍🚀 Sally": "👩🏽‍🚀 Sally", "👩🏽‍🚀 Sally Ride": "👩🏽‍🚀 Sally", "🦄": "🦄", "": ""} {
		if got := firstName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
