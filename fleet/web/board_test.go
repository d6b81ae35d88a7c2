package web

import (
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
	h.order("Dora") // waits, and is nobody's business
	h.write(a, brewing("zoe"), served("zoe"))
	h.write(b, brewing("leo"))
	h.write(c, cup("mia"))
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
		h.write(id, brewing("zoe"), served("zoe"))
		id, _ = h.order("Bob")
		h.write(id, brewing("leo"))
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
