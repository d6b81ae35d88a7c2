package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/fleet"
)

const enrollCode = "TDSH-KG70-KDFF-0123-4567-89AB-CDEF-0123-4567-89AB-CDEF"

// withHardware is a house with zoe in service, leo out of service as new hardware with a
// part that was swapped, and abe away.
func withHardware(t *testing.T) (*house, *floor) {
	h, f := withActs(t)
	h.web.Broker = "shop.local:4222"
	f.left = fleet.Left{Machine: "leo", Out: true, Revoked: true, Keys: true,
		Invited: &fleet.Invitation{Code: enrollCode, Kind: fleet.KindMachine, Name: "leo", Until: time.Date(2026, 11, 30, 12, 34, 0, 0, time.Local)}}
	h.crew.mu.Lock()
	defer h.crew.mu.Unlock()
	h.crew.present[1].Swapped = []string{"grinder", "milk"}
	h.crew.cordons = map[string]*fleet.Cordon{"leo": {By: "boss", Reason: "its computer is broken", Replaced: true, At: time.Now().Format(time.RFC3339)}}
	return h, f
}

// part is what is between two marks of a page.
func part(t *testing.T, page, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, from)
	if !found {
		t.Fatalf("no %q in the page", from)
	}
	rest, _, _ = strings.Cut(rest, to)
	return rest
}

// TestHardware: who is out of service, or away, may be retired or replaced; what was
// swapped is said with what to type; and new hardware comes back by a tick alone.
func TestHardware(t *testing.T) {
	h, f := withHardware(t)
	page := text(t, h.ask("GET", "/fleet", ""))
	zoe, leo, abe := part(t, page, `id="machine-zoe"`, `id="machine-`), part(t, page, `id="machine-leo"`, `id="machine-`), part(t, page, `id="machine-abe"`, `id="machine-`)
	contains(t, zoe, "first have it finish", "barista machine swap --part grinder")
	lacks(t, zoe, "/fleet/replace", "/fleet/retire", "not measured since", `name="checked"`)
	contains(t, leo, "/fleet/replace", "/fleet/retire", "Grinder: swapped, and not measured since", "barista calibrate grinder --config /etc/barista/leo.yaml", "barista calibrate milk --config",
		`<input type="checkbox" name="checked" value="yes" required>`, "its first cup is watched")
	contains(t, abe, "/fleet/replace", "/fleet/retire")
	lacks(t, text(t, open(t).ask("GET", "/fleet", "")), "/fleet/retire", "hardware-abe")

	said := func(act, form string) (*http.Response, string) {
		f.asked = nil
		res := h.ask("POST", "/fleet/"+act, form)
		return res, strings.Join(f.asked, "; ")
	}
	res, asked := said("retire", "machine=abe&reason=sold+<it>")
	if status(t, res, http.StatusSeeOther); asked != "retire abe by this computer: sold <it>" {
		t.Errorf("asked %q", asked)
	}
	contains(t, text(t, h.ask("GET", res.Header.Get("Location"), "")), "It is retired: no machine of this shop any more.")
	res, asked = said("replace", "machine=leo&reason=broken")
	if status(t, res, http.StatusOK); asked != "replace leo by this computer: broken" {
		t.Errorf("asked %q", asked)
	}
	page = text(t, res)
	contains(t, page, "The old Leo is put out", "barista enroll "+enrollCode+" --shop shop.local:4222", "until 12:34", "out of service until somebody has looked at it", `href="/operators"`)
	if res.Header.Get("Cache-Control") != "no-store" || strings.Contains(h.log.String(), enrollCode) || strings.Contains(text(t, h.ask("GET", "/fleet", "")), enrollCode) {
		t.Error("a code that is shown once can be found again")
	}
	if log := h.log.String(); !strings.Contains(log, `act=replaced by="this computer" of=leo order="" reason=broken`) {
		t.Errorf("it is not written down:\n%s", log)
	}

	f.left.Keys, f.left.Invited = false, nil
	res, _ = said("retire", "machine=abe&reason=sold")
	contains(t, text(t, h.ask("GET", res.Header.Get("Location"), "")), "brings it back, out of service")
	res, _ = said("replace", "machine=leo&reason=broken")
	page = text(t, res)
	contains(t, page, "see that it stays off")
	lacks(t, page, "barista enroll")
	f.left.Keys, f.err = true, errors.New("the door is too busy")
	res, _ = said("replace", "machine=leo&reason=broken")
	status(t, res, http.StatusOK)
	page = text(t, res)
	contains(t, page, "could not be made", "barista machine invite leo")
	lacks(t, page, "barista enroll", "too busy")
	f.left = fleet.Left{}
	res, _ = said("replace", "machine=leo&reason=broken")
	if status(t, res, http.StatusServiceUnavailable); strings.Contains(text(t, res), "is put out") {
		t.Error("it is put out, by an error")
	}
	f.err = nil
	for _, act := range []string{"retire", "replace"} {
		for _, form := range []string{"machine=leo", "machine=leo&reason=+%0a", "reason=x", "machine=*&reason=x", "machine=leo.cmd&reason=x"} {
			if res, asked := said(act, form); res.StatusCode != http.StatusBadRequest || asked != "" {
				t.Errorf("%s %s: %s, asked %q", act, form, res.Status, asked)
			}
		}
	}
	for form, want := range map[string]string{"machine=leo&checked=yes": "uncordon leo, checked", "machine=leo": "uncordon leo", "machine=leo&checked=": "uncordon leo"} {
		if _, asked := said("uncordon", form); asked != want {
			t.Errorf("%s: asked %q", form, asked)
		}
	}
}

// TestStays: why a machine does not leave, or come back, now is said in each language, with
// what to do.
func TestStays(t *testing.T) {
	h, f := withHardware(t)
	held := func(member bool, phases ...fleet.Phase) *fleet.StaysError {
		e := &fleet.StaysError{Code: fleet.StaysHolds, Member: member}
		for _, p := range phases {
			e.Held = append(e.Held, fleet.Held{ID: idA, Phase: p})
		}
		return e
	}
	for _, x := range []struct {
		err    *fleet.StaysError
		en, fr string
	}{
		{&fleet.StaysError{Code: fleet.StaysInService}, "Leo is in service. First have it finish", "Leo est en service. Laissez-la d’abord finir"},
		{&fleet.StaysError{Code: fleet.StaysUnparked}, "until its tile says “May be opened”", "On peut l’ouvrir\u00a0»."},
		{&fleet.StaysError{Code: fleet.StaysUncut}, "End its service on its own computer", "Arrêtez son service sur son propre ordinateur"},
		{&fleet.StaysError{Code: fleet.StaysOwn}, "the shop’s own key", "la clé du café même"},
		{&fleet.StaysError{Code: fleet.StaysAwaited}, "barista machine give-up leo", "barista machine give-up leo"},
		{&fleet.StaysError{Code: fleet.StaysClosed, Why: "it <went> back"}, "it &lt;went&gt; back", "it &lt;went&gt; back"},
		{held(true, fleet.Unknown, fleet.Claimed, fleet.Unknown), "orders in doubt: 2.", "commandes en doute : 2."},
		{held(true, fleet.Brewing), "revoke its key", "révoquez sa clé"},
		{held(false, fleet.Claimed), "in hand; orders: 1. Wait", "en main ; commandes : 1. Attendez"},
		{&fleet.StaysError{Code: fleet.StaysUnchecked}, "tick the box", "cochez la case"},
	} {
		x.err.Machine, f.err, f.left = "leo", x.err, fleet.Left{Machine: "leo"}
		for _, act := range []string{"retire", "replace", "uncordon"} {
			for lang, want := range map[string]string{"en": x.en, "fr": x.fr} {
				res := h.ask("POST", "/fleet/"+act+"?lang="+lang, "machine=leo&reason=broken")
				status(t, res, http.StatusConflict)
				contains(t, text(t, res), want)
			}
		}
	}
}

// TestBrowserHardware: what somebody has opened and types there stays while the page goes
// on; a machine is replaced, and put back by its tick.
func TestBrowserHardware(t *testing.T) {
	b := startBrowser(t)
	h, f := withHardware(t)
	at := h.listening()
	const form = "#replace-leo"
	b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.WaitVisible("#machine-leo"), chromedp.Click("#hardware-leo > summary"), chromedp.WaitVisible(form),
		chromedp.Click(form+" summary"), chromedp.SendKeys(form+" input[name=reason]", "new comp"))
	h.crew.mu.Lock()
	h.crew.present[0].Percent = 77
	h.crew.mu.Unlock()
	b.comes(t, `document.querySelector("#machine-zoe progress").value == 77`)
	b.do(t, chromedp.SendKeys(form+" input[name=reason]", "uter"), chromedp.Click(form+" button"))
	b.see(t, "#enroll", "barista enroll "+enrollCode+" --shop shop.local:4222")
	b.do(t, chromedp.Navigate(at+"/fleet"), chromedp.Click("#machine-leo .acts > form button")) // which wants the tick first
	b.do(t, chromedp.Click("#machine-leo .tick"), chromedp.Click("#machine-leo .acts > form button"))
	b.see(t, "#done", "Back in service.")
	if want := []string{"replace leo by this computer: new computer", "uncordon leo, checked"}; !slices.Equal(f.all(), want) {
		t.Errorf("asked %q, want %q", f.all(), want)
	}
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}

// TestHardwareScreens takes pictures of what is folded away on a tile, and of what is said
// once a machine is put out, and checks what TestScreens does.
func TestHardwareScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	b := startBrowser(t)
	h, f := withHardware(t)
	at := h.listening()
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{
		{375, 812, "light", "en"}, {375, 812, "dark", "fr"}, {1280, 800, "light", "fr"}, {1280, 800, "dark", "en"},
	} {
		sized(t, b, view.scheme, view.w, view.h)
		look := func(page string) {
			b.checks(t, fmt.Sprintf("%s at %dx%d, %s", page, view.w, view.h, view.scheme), view.w)
			b.shoot(t, fmt.Sprintf("ops-%s-%dx%d-%s-%s", page, view.w, view.h, view.scheme, view.lang))
		}
		open := func() {
			b.do(t, chromedp.Navigate(at+"/fleet?lang="+view.lang), chromedp.WaitVisible("#content"))
		}
		open()
		look("hardware-folded")
		b.do(t, chromedp.Click("#hardware-zoe > summary"), chromedp.Click("#hardware-leo > summary"), chromedp.Click("#retire-leo summary"), chromedp.Click("#replace-leo summary"))
		look("hardware")
		b.do(t, chromedp.SendKeys("#replace-leo input[name=reason]", "broken"), chromedp.Click("#replace-leo button"), chromedp.WaitVisible("#enroll"))
		look("replaced")
		f.err = &fleet.StaysError{Machine: "leo", Code: fleet.StaysUnparked}
		f.left.Out = false
		open()
		b.do(t, chromedp.Click("#hardware-leo > summary"), chromedp.Click("#retire-leo summary"), chromedp.SendKeys("#retire-leo input[name=reason]", "sold"), chromedp.Click("#retire-leo button"), chromedp.WaitVisible(".note.bad"))
		look("stays")
		f.err, f.left.Out = nil, true
	}
	for _, said := range b.complained() {
		if !strings.Contains(said, "409") {
			t.Errorf("the pages complained: %s", said)
		}
	}
}
