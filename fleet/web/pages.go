package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"mime"
	"net/http"
	"path"
)

//go:embed view/*.html
var viewFiles embed.FS

//go:embed asset/*
var assetFiles embed.FS

// pages are the templates of one language. html/template escapes everything by
// its place in the page; nothing here is ever marked as safe.
type pages struct {
	catalogue
	t *template.Template
}

func parsePages() map[string]*pages {
	out := map[string]*pages{}
	for _, l := range languages {
		w := readWords(l)
		t := template.New("").Funcs(template.FuncMap{
			"t":     w.say,
			"name":  w.name,
			"act":   w.act,
			"cap":   capital,
			"asset": assetPath,
			"more":  (&pages{catalogue: w}).more,
		})
		out[l] = &pages{catalogue: w, t: template.Must(t.ParseFS(viewFiles, "view/*.html"))}
	}
	return out
}

// view is what every page's frame needs; Body is the page's own.
type view struct {
	Lang, Other string // this language and the one to switch to
	Page        string // the template of its body
	Title       string
	Self        string  // its own address, "/" for a page that can't be asked for
	With        []field // of its address, beside the language
	Live        string  // address of its events, empty for a page without
	Now         int64   // of this computer's clock, in Unix milliseconds: pages count down by it
	Refresh     int     // seconds after which a page without script asks again, 0 = never
	Chaos       bool    // something may be broken
	Kiosk       bool    // nothing leads away from the page
	Code        *code   // of the address for phones, on the board
	Done        string  // what was just done, told above the page's own
	Note        string  // what went wrong, told there
	Quote       string  // with Note: a machine's own words, in English
	Body        any
}

// field is one of an address's.
type field struct{ Name, Value string }

// render renders a named template whole before a byte is sent.
func (p *pages) render(name string, data any) ([]byte, error) {
	var buf bytes.Buffer
	err := p.t.ExecuteTemplate(&buf, name, data)
	return buf.Bytes(), err
}

// show sends a page in its frame.
func (w *Web) show(rw http.ResponseWriter, r *http.Request, status int, v view) {
	if v.Self == "" {
		v.Self = w.home(r)
	}
	switch v.Page {
	case "order", "pair", "notice": // a kiosk's customer comes to these
		v.Kiosk = w.atKiosk(r)
	}
	v.Chaos = w.Chaos != nil && w.visitorOf(r).here
	remember(rw, r)
	w.draw(rw, status, w.pages[lang(r)], v)
}

// draw sends a page in a language.
func (w *Web) draw(rw http.ResponseWriter, status int, p *pages, v view) {
	v.Lang, v.Now = p.Lang, w.Wall().UnixMilli()
	v.Other = languages[0]
	if v.Lang == v.Other {
		v.Other = languages[1]
	}
	html, err := p.render("frame", v)
	if err != nil {
		w.broken(rw, p, err)
		return
	}
	send(rw, status, html)
}

// fragment sends a piece of a page.
func (w *Web) fragment(rw http.ResponseWriter, r *http.Request, name string, data any) {
	html, err := w.pages[lang(r)].render(name, data)
	if err != nil {
		w.broken(rw, w.pages[lang(r)], err)
		return
	}
	send(rw, http.StatusOK, html)
}

func send(rw http.ResponseWriter, status int, html []byte) {
	h := rw.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store") // a form from a cache would carry a used id
	h.Set("Vary", "Accept-Language, Cookie")
	rw.WriteHeader(status)
	rw.Write(html)
}

// broken answers where a template failed: a mistake of ours, told in the log.
func (w *Web) broken(rw http.ResponseWriter, p *pages, err error) {
	w.Log.Error("web: cannot render a page", "error", err)
	plain(rw, http.StatusInternalServerError, p.say("broken.text")+"\n")
}

// notice is a page that says one thing, and leads to the order form.
type notice struct{ Title, Text, Home string }

// sorry sends a page that says what went wrong.
func (w *Web) sorry(rw http.ResponseWriter, r *http.Request, status int, title, text string) {
	p := w.pages[lang(r)]
	w.show(rw, r, status, view{Page: "notice", Title: p.say(title), Body: notice{p.say(title), p.say(text), w.home(r)}})
}

// asset is a file as it is served; its address carries a hash of what is in it,
// so that browsers may keep it for good.
type asset struct {
	body []byte
	tag  string
	kind string
}

var assets = readAssets()

func readAssets() map[string]asset {
	entries, err := assetFiles.ReadDir("asset")
	if err != nil {
		panic(err)
	}
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	out := map[string]asset{}
	for _, e := range entries {
		b, err := assetFiles.ReadFile("asset/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		kind := kinds[path.Ext(e.Name())]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(e.Name()))
		}
		out[e.Name()] = asset{b, hex.EncodeToString(sum[:6]), kind}
	}
	return out
}

// assetPath is the address of an asset.
func assetPath(name string) string { return "/assets/" + name + "?v=" + assets[name].tag }

func serveAsset(rw http.ResponseWriter, r *http.Request) {
	a, ok := assets[r.PathValue("name")]
	if !ok {
		http.NotFound(rw, r)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", `"`+a.tag+`"`)
	if r.URL.Query().Get("v") == a.tag {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if r.Header.Get("If-None-Match") == `"`+a.tag+`"` {
		rw.WriteHeader(http.StatusNotModified)
		return
	}
	rw.Write(a.body)
}
