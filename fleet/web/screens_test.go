package web

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"barista/fleet"
)

var axe = flag.String("axe", "", "axe.min.js of axe-core, to be run in every page of which -shots takes a picture")

// staged is a house in which everything that a page can show happens at once. It returns
// the pages by name.
func (h *house) staged() map[string]string {
	pages := map[string]string{}
	stages := []fleet.Stage{{Step: "grind"}, {Step: "heat", From: 28}, {Step: "pour", From: 34}, {Step: "milk", From: 70}, {Step: "sugar", From: 94}}
	put := func(page, name string, milk string, arrows ...arrow) (id string) {
		f := h.blank()
		f.Set("name", name)
		f.Set("milk", milk)
		f.Set("size", []string{"small", "medium", "large"}[len(name)%3])
		f.Set("sugar_count", "1")
		res := h.ask("POST", "/order", f.Encode())
		status(h.t, res, http.StatusSeeOther)
		id = f.Get("id")
		h.until(func() bool { _, there := h.web.book.look(id); return there })
		h.write(id, arrows...)
		if page != "" {
			pages[page], _, _ = strings.Cut(res.Header.Get("Location"), "#")
		}
		return id
	}
	for i, n := range []struct {
		page    string
		percent int
	}{{"1-grind", 14}, {"2-heat", 31}, {"3-pour", 55}, {"4-milk", 84}, {"5-sugar", 96}} {
		id := put(n.page, []string{"Linus", "Barbara", "Ada", "Marie", "Chien-Shiung"}[i], "normal", brewing("zoe"))
		h.live(fleet.Event{Order: id, Kind: fleet.EvStep, N: i + 1, Of: 5, Step: stages[i].Step, Percent: n.percent, Machine: "zoe", Stages: stages})
	}
	put("0-cup", "Grace", "free", cup("mia"))
	put("0-taken", "Marie-Antoinette de Habsbourg", "free")
	put("6-served", "Édith", "soja", brewing("zoe"), served("zoe"))
	away := put("7-away", "Bob", "normal", brewing("mia"), served("mia"))
	h.web.book.taken(away)
	put("8-unknown", "Alan", "free", brewing("leo"), parked)
	cut := put("8-stopped", "Kurt", "normal", brewing("zoe"))
	h.live(fleet.Event{Order: cut, Kind: fleet.EvStep, N: 3, Of: 5, Step: "pour", Percent: 45, Machine: "zoe", Stages: stages})
	h.write(cut, came("zoe", fleet.Spoiled, fleet.Reason{Code: fleet.CodeUnwanted}))
	put("8-failed", "Ken", "free", brewing("leo"), failed("leo", fleet.Spoiled, fleet.Reason{Code: "no-flow"}))
	put("", "עדה", "free", brewing("mia"), served("mia"))
	for _, name := range []string{"Bob", "👩🏽‍🚀 Sally", "François", "李雷"} {
		put("", name, "normal", brewing("mia"), served("mia"))
	}
	for i := range 15 {
		put("", []string{"Bob", "Wolfgang Amadeus", "Noor", "Ægir", "Yū", "Paul", "Simone", "Léa"}[i%8], []string{"free", "normal", "soja"}[i%3])
	}
	return pages
}

// TestLiveScreens takes pictures of the live page at each step, of the board with thirty
// people, and of the kiosk, into the folder given by -shots, and checks what TestScreens
// does.
func TestLiveScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	h := build(t)
	h.web.CustomersSettle = true
	now := time.Now() // it stands still: pictures take longer than a name stays on the board
	h.web.Wall = func() time.Time { return now }
	h.web.book.wall = h.web.Wall
	h.crew.present = []fleet.Presence{machineHere("zoe"), machineHere("mia"), machineHere("leo")}
	h.run()
	pages := h.staged()
	at := h.listening()
	b := startBrowser(t)
	for _, view := range []struct {
		w, h               int64
		scheme, lang, only string
	}{
		{375, 812, "light", "en", ""}, {1280, 800, "dark", "fr", ""}, {320, 568, "light", "fr", "0123"}, {768, 1024, "light", "en", "036b"},
		{1920, 1080, "light", "en", "b"}, {1920, 1080, "dark", "fr", "b"}, {1024, 768, "light", "fr", "bk"}, {1080, 1920, "dark", "en", "bk"},
	} {
		command(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: view.w, Height: view.h, DeviceScaleFactor: 1, Mobile: view.w < 500})
		command(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: view.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		look := func(page, path string) {
			if view.only != "" && !strings.Contains(view.only, page[:1]) {
				return
			}
			mark := "?"
			if strings.Contains(path, "?") {
				mark = "&"
			}
			b.do(t, chromedp.Navigate(at+path+mark+"lang="+view.lang), chromedp.WaitVisible("#content"))
			b.checks(t, fmt.Sprintf("%s at %dx%d, %s", page, view.w, view.h, view.scheme), view.w)
			png := get(t, b, chromedp.FullScreenshot(100))
			if err := os.WriteFile(filepath.Join(*shots, fmt.Sprintf("%s-%dx%d-%s-%s.png", page, view.w, view.h, view.scheme, view.lang)), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for page, path := range pages {
			look(page, path)
		}
		look("board", "/board")
		look("board-kiosk", "/board?kiosk")
		look("offline", "/offline/"+view.lang+"/anybody/sent")
		look("kiosk", "/kiosk")
		look("kiosk-order", pages["3-pour"])
		look("form", "/") // and no kiosk any more
	}
	if c := b.complained(); len(c) > 0 {
		t.Errorf("the pages complained: %q", c)
	}
}

// shoot takes a picture of the page into the folder given by -shots, if one is.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), get(t, b, chromedp.FullScreenshot(100)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// checks looks at a page as it is: how wide it is, the size of what is pressed, the
// contrast, and what axe-core finds, where it was given.
func (b *browser) checks(t *testing.T, page string, width int64) {
	t.Helper()
	if wide := get(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
		t.Errorf("%s is %d px wide", page, wide)
	}
	if small := get(t, b, chromedp.Evaluate[[]string](smallTargets)); len(small) > 0 {
		t.Errorf("%s: targets smaller than 44 px: %q", page, small)
	}
	if pale := get(t, b, chromedp.Evaluate[[]string](paleText)); len(pale) > 0 {
		t.Errorf("%s: contrast below 4.5: %q", page, pale)
	}
	if *axe == "" {
		return
	}
	source, err := os.ReadFile(*axe)
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.Evaluate[chromedp.Void](string(source)+";void 0"))
	found := get(t, b, chromedp.Evaluate[[]string](`axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 120)).join(" | ")))`, chromedp.EvalAwaitPromise))
	if len(found) > 0 {
		t.Errorf("%s: axe finds %q", page, found)
	}
}
