package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chromedp/chromedp"

	"barista/fleet"
)

func (f *floor) Care(_ context.Context, machine string, kind fleet.Size, by string, last bool) (string, error) {
	return idA, f.did("care %s %s by %s, last %v", machine, kind, by, last)
}

// withCare is a house with zoe, who makes what nobody else can now and whose rinse is due,
// and leo, who waits until somebody has cleaned him.
func withCare(t *testing.T) (*house, *floor) {
	h, f := withActs(t)
	h.crew.mu.Lock()
	defer h.crew.mu.Unlock()
	h.crew.present[0].Care = []fleet.Care{{Kind: fleet.CareRinse, Drinks: 20, Hours: 3, Due: true, Itself: true}, {Kind: fleet.CareClean, Drinks: 41, Hours: 160}}
	h.crew.present[0].Parts = []string{"grinder", "pump", "steamer"}
	h.crew.present[0].LastFault = &fleet.Happened{What: "no-flow", At: time.Now().Add(-3 * time.Hour).Format(time.RFC3339)}
	h.crew.present[0].LastAct = &fleet.Happened{What: "clear-fault", By: "Eve", Why: "a kink in the hose", At: time.Now().Add(-2 * time.Hour).Format(time.RFC3339)}
	care := fleet.CareOrder(idC, "Eve", "leo", fleet.CareClean)
	h.records.put(fleet.Create(care, fleet.Items{}, fleet.Success(idC), fleet.ViaCare), time.Now())
	h.write(idC, cup("leo"))
	h.crew.present[1].State, h.crew.present[1].Order, h.crew.present[1].Code = fleet.StateWaiting, idC, "care-asked"
	h.crew.present[1].Classes = []fleet.Class{{Bean: "arabica", Milk: fleet.NoMilk}}
	return h, f
}

// TestCare: a tile says what is due and why not now, and each button does one thing; what
// moves something at once wants to hear that somebody has looked.
func TestCare(t *testing.T) {
	h, f := withCare(t)
	page := text(t, h.ask("GET", "/fleet", ""))
	zoe, leo := part(t, page, `id="machine-zoe"`, `id="machine-`), part(t, page, `id="machine-leo"`, `id="machine-`)
	contains(t, zoe, `action="/fleet/care"`, "Rinse · drinks since: 20 · hours: 3", "due", "Clean · drinks since: 41", "Zoe is the last one here that makes some of: Arabica, Mixed, Robusta.", `<option value="pump">Pump</option>`, `<option value="steamer">Steamer</option>`)
	lacks(t, zoe, "Descale", "/fleet/cup")
	contains(t, leo, `action="/fleet/cup"`, "hot water flows at once", "Eve: Clean of Leo", "Waits for somebody")
	lacks(t, leo, "/fleet/try")
	lacks(t, text(t, h.ask("GET", "/board", "")), "Eve")
	lacks(t, text(t, open(t).ask("GET", "/fleet", "")), "/fleet/care", "/fleet/try")

	press := func(act, form string, want int) (*http.Response, fleet.Command) {
		t.Helper()
		f.asked = nil
		h.desk.asked = nil
		res := h.ask("POST", "/fleet/"+act, form)
		status(t, res, want)
		for _, list := range h.desk.asked {
			return res, list[0]
		}
		return res, fleet.Command{}
	}
	h.desk.reply = fleet.CommandAnswer{OK: true}
	if press("care", "machine=zoe&what=rinse&last=yes", http.StatusSeeOther); strings.Join(f.all(), ";") != "care zoe rinse by this computer, last true" {
		t.Errorf("asked %v", f.all())
	}
	if press("care", "machine=zoe&what=clean", http.StatusSeeOther); strings.Join(f.all(), ";") != "care zoe clean by this computer, last false" {
		t.Errorf("asked %v", f.all())
	}
	if _, q := press("cared", "machine=zoe&what=clean", http.StatusSeeOther); q.Verb != fleet.CommandCared || q.What != "clean" || q.By != "this computer" {
		t.Errorf("asked %+v", q)
	}
	if _, q := press("cup", "machine=leo&order="+idC+"&vessel=yes", http.StatusSeeOther); q.Verb != fleet.CommandCup || q.Order != idC {
		t.Errorf("asked %+v", q)
	}
	for act, form := range map[string]string{"cup": "machine=leo&order=" + idC, "try": "machine=zoe&what=pump"} {
		res, q := press(act, form, http.StatusBadRequest)
		if contains(t, text(t, res), "Look first"); q.Verb != "" {
			t.Errorf("nobody has looked, and %+v was asked", q)
		}
	}
	for _, form := range []string{"what=rinse", "machine=zoe&what=*", "machine=zoe.cmd&what=rinse"} {
		if press("care", form, http.StatusBadRequest); len(f.all()) > 0 {
			t.Errorf("%s: asked %v", form, f.all())
		}
	}
	f.err = fleet.Saying("zoe is the last one", fleet.ErrNotAllowed)
	res, _ := press("care", "machine=zoe&what=rinse", http.StatusConflict)
	contains(t, text(t, res), "It was not done:", "zoe is the last one")
	f.err = nil

	h.desk.reply.Tried = &fleet.Tried{Part: "pump", Seconds: 1, Proof: "flow", Unit: "ml", Gain: 6.14, Shown: true}
	res, q := press("try", "machine=zoe&what=pump&vessel=yes", http.StatusSeeOther)
	if q.Verb != fleet.CommandTry || q.What != "pump" || !q.Vessel || q.By != "this computer" {
		t.Errorf("asked %+v", q)
	}
	at := res.Header.Get("Location")
	contains(t, text(t, h.ask("GET", at, "")), "Pump: it was on for a moment, and the sensor (flow) saw 6.1 ml.")
	contains(t, text(t, h.ask("GET", at+"&lang=fr", "")), "a vu 6,1 ml")
	contains(t, text(t, h.ask("GET", strings.Replace(at, "saw=true", "saw=false", 1), "")), "saw nothing of it")
	contains(t, text(t, h.ask("GET", strings.Replace(at, "sensor=flow", "sensor=", 1), "")), "look and listen")
	contains(t, text(t, h.ask("GET", "/fleet?done=tried&part=%3Cb%3E&gain=1", "")), "It was tried.")
	h.desk.reply = fleet.CommandAnswer{Message: "it is drained"}
	res, _ = press("try", "machine=zoe&what=pump&vessel=yes", http.StatusConflict)
	contains(t, text(t, res), "Zoe did not do it:", "it is drained")
}

// TestLately: a tile says for how long a machine has been so, as far as this website saw
// it, what its last fault was, and who did what there last.
func TestLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := withActs(t)
		tile := func(name string) string {
			t.Helper()
			h.web.roll.forget()
			return part(t, text(t, h.ask("GET", "/fleet", "")), `id="machine-`+name+`"`, `id="machine-`)
		}
		at := func(d time.Duration) string { return time.Now().Add(-d).Format(time.RFC3339) }
		lacks(t, tile("zoe"), "for at least", "Its last fault", " ago.")
		time.Sleep(5 * time.Minute)
		contains(t, tile("zoe"), "for at least 5 min")
		h.crew.mu.Lock()
		h.crew.present[0].State = fleet.StateReady
		h.crew.present[0].LastFault = &fleet.Happened{What: "no-flow", At: at(3 * time.Hour)}
		h.crew.present[0].LastAct = &fleet.Happened{What: "clear-fault", By: "Eve <b>", Why: "a kink in the hose", At: at(2 * time.Hour)}
		h.crew.present[1].LastFault = &fleet.Happened{What: h.crew.present[1].Code, At: at(time.Hour)}
		h.crew.present[1].LastAct = &fleet.Happened{What: "dance", By: "Eve", At: at(time.Hour)}
		h.crew.mu.Unlock()
		now := tile("zoe")
		lacks(t, now, "for at least", "for 0")
		contains(t, now, "Its last fault, 3 h ago: no-flow. The pump runs and no water comes", "Eve &lt;b&gt; has cleared its fault, 2 h ago.", "a kink in the hose")
		lacks(t, tile("leo"), "Its last fault", "Eve")
		time.Sleep(3 * time.Hour)
		contains(t, tile("zoe"), `<span class="soft">for 3 h</span>`)
	})
}

// TestCareScreens makes the pictures and audits them, where a folder is given.
func TestCareScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("no -shots")
	}
	b := startBrowser(t)
	h, _ := withCare(t)
	at := h.listening()
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{
		{375, 812, "light", "en"}, {375, 812, "dark", "fr"}, {1280, 800, "light", "fr"}, {1280, 800, "dark", "en"},
	} {
		sized(t, b, view.scheme, view.w, view.h)
		b.do(t, chromedp.Navigate(at+"/fleet?lang="+view.lang), chromedp.WaitVisible("#content"), chromedp.Click("#care-zoe > summary"), chromedp.Click("#try-zoe > summary"))
		b.checks(t, fmt.Sprintf("care at %dx%d, %s", view.w, view.h, view.scheme), view.w)
		b.shoot(t, fmt.Sprintf("care-%dx%d-%s-%s", view.w, view.h, view.scheme, view.lang))
	}
	for _, said := range b.complained() {
		t.Errorf("the pages complained: %s", said)
	}
}
