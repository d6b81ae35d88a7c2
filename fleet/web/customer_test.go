package web

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/oklog/ulid/v2"

	"barista/fleet"
	"barista/fleet/words"
)

var (
	hiddenParts = regexp.MustCompile(`(?s)<(script|style|svg)\b.*?</(script|style|svg)>`)
	ofOther     = regexp.MustCompile(`(?s)<(a|button)\b[^>]* lang="[a-z]+"[^>]*>.*?</(a|button)>`) // the switch of the language
	spokenOnly  = regexp.MustCompile(`(?:aria-label|data-say|data-title|placeholder|alt|title)="([^"]*)"`)
	tag         = regexp.MustCompile(`<[^>]*>`)
)

// said is every word that a person reads or hears of a page.
func said(page string) []string {
	page = ofOther.ReplaceAllString(hiddenParts.ReplaceAllString(page, " "), " ")
	var heard strings.Builder
	for _, m := range spokenOnly.FindAllStringSubmatch(page, -1) {
		heard.WriteString(" " + m[1])
	}
	return spelled(html.UnescapeString(tag.ReplaceAllString(page, " ") + heard.String()))
}

func spelled(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) })
}

// anyLanguage is what a page may say in any language: who is here and who orders.
var anyLanguage = []string{"ada", "zoe", "leo", "barista", "ml", "min", "arabica", "robusta", "mb"}

var vocabularies = map[string]map[string]bool{}

// vocabulary is every word of what a customer may be told in a language: the pages' own
// texts, and the customer's side of each code.
func vocabulary(lang string) map[string]bool {
	if known := vocabularies[lang]; known != nil {
		return known
	}
	known := map[string]bool{}
	vocabularies[lang] = known
	add := func(text string) {
		for _, w := range spelled(text) {
			known[w] = true
		}
	}
	for key, text := range readWords(lang).text {
		if family, _, _ := strings.Cut(key, "."); !slices.Contains([]string{"fleet", "ops", "login", "member", "state", "done", "cupkind"}, family) {
			add(text)
		}
	}
	for _, code := range words.Codes(lang) {
		add(words.Customer(lang, code))
		add(words.Now(lang, code))
	}
	for _, name := range anyLanguage {
		known[name] = true
	}
	return known
}

// foreign are the words of a page that no text for customers of its language has.
func foreign(lang, page string) (out []string) {
	known := vocabulary(lang)
	for _, w := range said(page) {
		if !known[w] && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// The customer's pages say only what is written for customers, in the page's language:
// no operator's sentence, no code, no driver's words, no reason that a person typed,
// whatever the cause. The causes are those of the tables, so a new one is walked too.
func TestCustomersReadTheirOwnWords(t *testing.T) {
	h := open(t)
	const typed = "descaling until noon; ask Marc, cable /dev/ttyUSB3"
	reason := func(code string) fleet.Reason {
		return fleet.Reason{Code: code, Detail: "0.1 g of 9", Quote: typed, Text: words.Line("en", code, "0.1 g of 9", typed)}
	}
	codes := words.Codes("en")
	if len(codes) < 80 {
		t.Fatalf("%d codes: the test is blind", len(codes))
	}
	for i, code := range codes {
		check := func(where, page string, lang string) {
			t.Helper()
			plain := html.UnescapeString(tag.ReplaceAllString(page, " "))
			if strange := foreign(lang, page); len(strange) > 0 {
				t.Errorf("%s, %s, %s: the customer reads %q", code, where, lang, strange)
			}
			if op := words.Operator(lang, code); op != words.Customer(lang, code) {
				lacks(t, plain, op)
			}
			lacks(t, plain, "0.1 g of 9", "descaling", "ttyUSB3")
			if strings.ContainsAny(code, "-_") {
				lacks(t, plain, code)
			}
		}
		get := func(where, path string, change ...func(*http.Request)) {
			t.Helper()
			for _, lang := range words.Languages {
				check(where, text(t, h.ask("GET", path, "", append([]func(*http.Request){header("Accept-Language", lang)}, change...)...)), lang)
			}
		}
		post := func(where, body string) {
			t.Helper()
			for _, lang := range words.Languages {
				check(where, text(t, h.ask("POST", "/order", body, header("Accept-Language", lang))), lang)
			}
		}

		// A machine is kept by it: one kind of coffee, then all of them.
		f := url.Values{"id": {ulidB}, "name": {"Ada"}, "drink": {"small"}, "bean_type": {"robusta"}, "milk": {"free"}, "sugar_count": {"0"}}
		for _, s := range fleet.Sizes {
			h.shop.waits[choice{s, "robusta", "free"}] = fleet.Wait{Code: code}
		}
		h.web.counter.forget()
		get("form", "/")
		get("wait", "/wait?"+f.Encode())
		if l := (lack{Code: code}); !l.decided() && code != fleet.CodeAway {
			post("answer", f.Encode())
		}
		h.all(fleet.Wait{Code: code})
		get("closed", "/")
		get("closed at a kiosk", "/kiosk")
		h.shop.waits = map[choice]fleet.Wait{}
		h.web.counter.forget()

		// An order ends by it, or goes on after it.
		id, path := h.order("Ada")
		second, other := h.order("Ada")
		h.write(id, brewing("zoe"), came("zoe", fleet.Spoiled, reason(code)))
		get("again", path) // or the end, where it was the customer who stopped it
		h.write(second, brewing("zoe"), failed("zoe", fleet.Outcome([]fleet.Outcome{fleet.Spoiled, fleet.Untouched}[i%2]), reason(code)))
		get("failed", other)
		get("two cups", path+"/with/"+strings.TrimPrefix(other, "/orders/"))
		get("second refused", path+"/second/"+code)
		if page := text(t, h.ask("GET", other, "", header("Accept-Language", "fr"))); strings.Count(html.UnescapeString(page), words.Customer("fr", code)) != 1 {
			t.Errorf("%s: the customer's sentence is not said once", code)
		}
		if code == fleet.CodeUnwanted {
			id, path = h.order("Ada")
		} else {
			h.write(id, remade)
		}
		h.write(id, brewing("leo"))
		h.live(fleet.Event{Order: id, Kind: fleet.EvStep, Epoch: h.records.last(id).Epoch, N: 2, Of: 3, Step: "grind", Percent: 40, Machine: "leo",
			Stages: []fleet.Stage{{Step: "heat"}, {Step: "grind", From: 20}, {Step: "rest", From: 60}}})
		get("board", "/board")
		get("making", path)
		get("at a kiosk", path+"/with/"+strings.TrimPrefix(other, "/orders/"), atKiosk)
		for _, live := range []string{"/board", path, other, path + "/with/" + strings.TrimPrefix(other, "/orders/")} {
			for _, lang := range words.Languages {
				check("events of "+live, h.piece(live, lang), lang)
			}
		}
		h.write(id, func(c fleet.Claim) (fleet.Claim, error) { return c.Park("leo", reason(code)) })
		get("unknown", path)

		h.refusals(code, second, post, check)
		if t.Failed() && i > 3 {
			t.Fatal("and so on")
		}
	}
}

// atKiosk is a request of a kiosk that speaks the language it asks in.
func atKiosk(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: kioskCookie, Value: lang(r)})
}

// piece is what a live page is told by its events.
func (h *house) piece(path, lang string) string {
	h.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept-Language", lang)
	d := h.web.drawn(r, path)
	if d == nil {
		h.t.Fatalf("%s has no events", path)
	}
	now := d(h.t.Context())
	html, err := h.web.pages[lang].render(now.template, now.body)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(html)
}

// The pages around an order, too, are in the page's language alone: those of a kiosk, the
// one without a connection, and every notice; and what a machine calls its steps is no
// English word to who reads none.
func TestPagesAroundAnOrderAreInOneLanguage(t *testing.T) {
	h := build(t)
	h.web.PIN = "4711"
	h.run()
	far := from7("192.0.2.7:1")
	id, path := h.order("Ada")
	h.write(id, brewing("zoe"))
	h.live(fleet.Event{Order: id, Kind: fleet.EvStep, N: 2, Of: 3, Step: "froth", Percent: 40, Machine: "zoe",
		Stages: []fleet.Stage{{Step: "steam-wand"}, {Step: "froth", From: 20}, {Step: "pour", From: 60}}})
	held, _ := h.order("Ada")
	h.write(held, cup("leo"))
	lost, _ := h.order("Ada")
	h.write(lost, brewing("leo"), parked)
	done, _ := h.order("Ada")
	h.write(done, brewing("leo"), served("leo"))
	for _, lang := range words.Languages {
		speaks := header("Accept-Language", lang)
		page := func(where string, res *http.Response) {
			t.Helper()
			page := text(t, res)
			contains(t, page, `<html lang="`+lang+`">`)
			if strange := foreign(lang, page); len(strange) > 0 {
				t.Errorf("%s, %s: the customer reads %q", where, lang, strange)
			}
		}
		for _, where := range []string{"/kiosk", "/nope", "/orders/none", "/t/none", "/qr", "/board", "/board?kiosk", h.web.pathOf(held), h.web.pathOf(lost), h.web.pathOf(done), "/order-coffee",
			"/offline/" + lang + "/anybody", "/offline/" + lang + "/kiosk", "/offline/" + lang + "/kiosk/sent"} {
			page(where, h.ask("GET", where, "", speaks, far, header("Accept", "text/html")))
			page(where+" at a kiosk", h.ask("GET", where, "", speaks, far, header("Accept", "text/html"), header("Sec-Fetch-Site", "same-origin"), atKiosk))
		}
		page("the form", h.ask("GET", "/", "", speaks, far))
		page("another site", h.ask("POST", "/order", "id=x", speaks, header("Sec-Fetch-Site", "cross-site")))
		page("no form", h.ask("POST", "/order", "id=x", speaks, header("Content-Type", "text/plain")))
		page("too long", h.ask("POST", "/order", "name="+strings.Repeat("x", maxBody+1), speaks))
		page("no PIN", h.ask("POST", "/order", h.blank().Encode(), speaks, far))
		if lang == "fr" {
			page("making", h.ask("GET", path, "", speaks))
			if strange := foreign(lang, h.piece(path, lang)); len(strange) > 0 {
				t.Errorf("its events: the customer reads %q", strange)
			}
		}
	}
}

// refusals walks what a customer reads where the shop refuses with a code: by the form,
// and by the article's page. second is an order that was taken.
func (h *house) refusals(code, second string, post func(where, body string), check func(where, page, lang string)) {
	h.t.Helper()
	f := url.Values{"id": {second}, "name": {"Ada"}, "drink": {"large"}, "bean_type": {"robusta"}, "milk": {"free"}, "sugar_count": {"0"}}
	h.shop.refuse = &fleet.Answer{Status: "error", Code: code, Field: "size", Message: "words of the shop, for programs"}
	defer func() { h.shop.refuse = nil }()
	post("a used form", f.Encode())
	f.Set("id", ulid.Make().String())
	post("refusal", f.Encode())
	for _, lang := range words.Languages {
		var a struct{ Title, Text string }
		res := h.ask("POST", "/order-coffee", `{"name":"Ada","size":"small","bean_type":"arabica","milk":"free","sugar_count":0}`,
			header("Content-Type", "application/json"), header("Accept-Language", lang))
		if err := json.Unmarshal([]byte(text(h.t, res)), &a); err != nil || a.Text == "" {
			h.t.Fatal(a, err)
		}
		check("answer of programs", a.Title+" "+a.Text, lang)
	}
}

// The walk would notice.
func TestForeignWordsAreNoticed(t *testing.T) {
	for _, code := range words.Codes("fr") {
		for _, planted := range []string{words.Operator("en", code), words.Customer("en", code), words.Now("en", code)} {
			if len(foreign("fr", "<p>"+html.EscapeString(planted)+"</p>")) == 0 {
				t.Errorf("a French page may say %q", planted)
			}
		}
	}
	for key, text := range readWords("en").text {
		if text != readWords("fr").text[key] && len(spelled(text)) > 3 && len(foreign("fr", `<p aria-label="`+html.EscapeString(text)+`">`)) == 0 {
			t.Errorf("a French page may say %q", text)
		}
	}
	if status := foreign("en", "<p>grinder jam, waiting for a gasket</p>"); len(status) == 0 {
		t.Error("an English page may say what an operator typed")
	}
}
