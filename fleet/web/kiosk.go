package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kioskCookie makes a device a kiosk: a touch screen of the house at which one customer
// orders after the other. It is set by the address /kiosk and goes where somebody types
// that of the order form. It holds the kiosk's own language, and for one of the house
// until when it is one, and the proof of that.
const kioskCookie = "kiosk"

// kioskTime is how long a kiosk is one that nobody used. A screen that is on begins anew
// now and then by itself, and is one for good; one that was sold or lost is none for long.
const kioskTime = 30 * 24 * time.Hour

// kiosk shows the order form for a touch screen: nothing leads away from it, and it
// begins anew after a minute without a touch, in its own language. Opened once by an
// operator, or at the shop's own computer, it is one of the house: it is not asked for
// the house's PIN, and what its many customers order is not counted as one customer's.
func (w *Web) kiosk(rw http.ResponseWriter, r *http.Request) {
	home, ours := w.readKiosk(r)
	if _, may := w.operator(r); may {
		ours = true
	}
	began := home == ""
	if began {
		home = lang(r)
	}
	value := home
	if ours {
		until := strconv.FormatInt(w.Wall().Add(kioskTime).Unix(), 36)
		value += "." + until + "." + w.kioskProof(w.greet(rw, r), until)
	}
	w.keepCookie(rw, r, kioskCookie, value, int(kioskTime/time.Second))
	if !began && asked(r) == "" {
		speak(rw, r, home) // and not the language of the customer before
	}
	w.forgetDraft(rw, r)
	w.form(rw, r)
}

// readKiosk reads what makes the device a kiosk: the kiosk's language, empty for none;
// and whether it is one of the house.
func (w *Web) readKiosk(r *http.Request) (home string, ours bool) {
	c, err := r.Cookie(w.cookieName(r, kioskCookie))
	if err != nil {
		return "", false
	}
	home, more, _ := strings.Cut(c.Value, ".")
	if !slices.Contains(languages, home) {
		return "", false
	}
	until, proof, _ := strings.Cut(more, ".")
	end, err := strconv.ParseInt(until, 36, 64)
	device := w.device(r)
	return home, err == nil && device != "" && w.Wall().Unix() < end && same(proof, w.kioskProof(device, until))
}

// atKiosk reports whether the page is for a kiosk.
func (w *Web) atKiosk(r *http.Request) bool {
	home, _ := w.readKiosk(r)
	return home != ""
}

// home is where the device orders.
func (w *Web) home(r *http.Request) string {
	if w.atKiosk(r) {
		return "/kiosk"
	}
	return "/"
}

// leaveKiosk makes the device anybody's again.
func (w *Web) leaveKiosk(rw http.ResponseWriter, r *http.Request) {
	if w.atKiosk(r) {
		w.keepCookie(rw, r, kioskCookie, "", -1)
	}
}

// oursIsKiosk reports whether the device is a kiosk of the house.
func (w *Web) oursIsKiosk(r *http.Request) bool {
	_, ours := w.readKiosk(r)
	return ours
}

// kioskProof changes with the house's PIN: with a new one a kiosk must be opened anew.
func (w *Web) kioskProof(device, until string) string {
	return w.proofOf("kiosk", device, until, w.PIN)
}

// along is what a kiosk's customer takes with him: the address of an order's page, for a
// phone.
func (w *Web) along(r *http.Request, path string) *code {
	address := w.customers(r)
	if address == "" || !w.atKiosk(r) {
		return nil
	}
	return newCode(address+path, address)
}

// manifest lets a phone or a tablet keep the shop as an app.
func (w *Web) manifest(rw http.ResponseWriter, r *http.Request) {
	p := w.pages[lang(r)]
	type icon struct {
		Src     string `json:"src"`
		Sizes   string `json:"sizes"`
		Type    string `json:"type"`
		Purpose string `json:"purpose,omitempty"`
	}
	type shortcut struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	b, err := json.Marshal(map[string]any{
		"name": "barista", "short_name": "barista", "description": p.say("form.title"), "lang": p.Lang,
		"id": "/", "start_url": "/", "scope": "/", "display": "standalone",
		"background_color": "#f6efe6", "theme_color": "#7a4522",
		"icons": []icon{
			{assetPath("icon.svg"), "any", "image/svg+xml", ""},
			{assetPath("icon-192.png"), "192x192", "image/png", "any"},
			{assetPath("icon-512.png"), "512x512", "image/png", "any"},
			{assetPath("icon-512.png"), "512x512", "image/png", "maskable"},
		},
		"shortcuts": []shortcut{{p.say("nav.board"), "/board?kiosk"}, {p.say("kiosk.title"), "/kiosk"}},
	})
	if err != nil {
		w.broken(rw, w.pages[lang(r)], err)
		return
	}
	rw.Header().Set("Content-Type", "application/manifest+json")
	rw.Header().Set("Cache-Control", "no-cache")
	rw.Header().Set("Vary", "Accept-Language, Cookie")
	rw.Write(b)
}

// keptOffline are the assets of the page that is shown without a connection.
var keptOffline = []string{"style.css", "kiosk.css", "icon.svg", "app.js"}

// offlineBody is that page: Sent, where an order may have left.
type offlineBody struct{ Sent bool }

// offlinePaths are its addresses: in each language, for a kiosk and for anybody, and
// with an order that may have left. A browser keeps them all, and shows the one that is
// like the page that was read last.
func offlinePaths() (list []string) {
	for _, l := range languages {
		for _, who := range []string{"anybody", "kiosk"} {
			for _, sent := range []string{"", "/sent"} {
				list = append(list, "/offline/"+l+"/"+who+sent)
			}
		}
	}
	return list
}

// offline is what a browser keeps for the time when nobody answers. It says that there
// is no connection, and never more of an order than is known.
func (w *Web) offline(rw http.ResponseWriter, r *http.Request) {
	if !slices.Contains(offlinePaths(), r.URL.Path) {
		w.sorry(rw, r, http.StatusNotFound, "lost.title", "lost.text")
		return
	}
	p := w.pages[r.PathValue("lang")]
	v := view{Page: "offline", Self: "/", Title: p.say("offline.title"), Body: offlineBody{r.PathValue("sent") != ""}}
	if v.Kiosk = r.PathValue("who") == "kiosk"; v.Kiosk {
		v.Self = "/kiosk"
	}
	w.draw(rw, http.StatusOK, p, v)
}

// worker is the script that shows it. The list before it names what it keeps, so a
// browser takes a new one when one of these changes.
func (w *Web) worker(rw http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	list := offlinePaths()
	for _, name := range keptOffline {
		list = append(list, assetPath(name))
	}
	b, err := json.Marshal(list)
	if err != nil {
		w.broken(rw, w.pages[lang(r)], err)
		return
	}
	out.WriteString("const KEPT = ")
	out.Write(b)
	out.WriteString(";\n")
	out.Write(assets["worker.js"].body)
	rw.Header().Set("Content-Type", assets["worker.js"].kind)
	rw.Header().Set("Cache-Control", "no-cache")
	rw.Write(out.Bytes())
}
