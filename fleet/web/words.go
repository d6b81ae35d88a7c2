package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"barista/fleet/words"
)

//go:embed words/*.json
var wordFiles embed.FS

// The languages, the one that is used in doubt first.
var (
	languages = []string{"en", "fr"}
	matcher   = language.NewMatcher([]language.Tag{language.English, language.French})
)

// catalogue is the texts of the pages: key to text, some with places for arguments (%[1]s).
type catalogue struct {
	Lang string
	text map[string]string
}

// readWords reads the catalogue of a language; the order form's texts, those of
// the operators' pages, of machines that leave their place and of the demo's have a file of their own. The files are part of the
// program, so a broken one is a mistake of ours.
func readWords(lang string) catalogue {
	w := catalogue{Lang: lang, text: map[string]string{}}
	for _, part := range []string{"", "form-", "fleet-", "hardware-", "care-", "chaos-"} {
		name := "words/" + part + lang + ".json"
		b, err := wordFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		texts := map[string]string{}
		if err := json.Unmarshal(b, &texts); err != nil {
			panic("web: " + name + ": " + err.Error())
		}
		for key, text := range texts {
			if _, twice := w.text[key]; twice {
				panic("web: " + name + ": " + key + " is in another file too")
			}
			w.text[key] = words.Typeset(lang, text)
		}
	}
	return w
}

// say is the text of a key. A missing key shows itself, which a test prevents.
func (w catalogue) say(key string, args ...any) string {
	text, ok := w.text[key]
	if !ok {
		return key
	}
	if len(args) > 0 && strings.Contains(text, "%") { // a text need not use what it is given
		return fmt.Sprintf(text, args...)
	}
	return text
}

// name is the text of a word that comes from the menu or a machine: a
// catalogue's where there is one, else the word itself with a capital letter.
func (w catalogue) name(kind, word string) string {
	if text, ok := w.text[kind+"."+word]; ok {
		return text
	}
	return capital(word)
}

// known is the text of a word, where the catalogue has it.
func (w catalogue) known(kind, word string) (string, bool) {
	text, ok := w.text[kind+"."+word]
	return text, ok
}

// span is a range of time in words that are easy to take in at a glance.
func (w catalogue) span(low, high time.Duration) string {
	l, h := int(low/time.Minute), int((high+time.Minute-1)/time.Minute)
	switch {
	case h <= 1:
		return w.say("span.soon")
	case l < 1:
		return w.say("span.upto", h)
	case l == h:
		return w.say("span.about", h)
	}
	return w.say("span.range", l, h)
}

// capital makes a token presentable: "soy-barista" becomes "Soy barista".
func capital(s string) string {
	s = strings.ReplaceAll(s, "-", " ")
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// langCookie keeps the language that a person chose by hand.
const langCookie = "lang"

// maxAccept bounds the Accept-Language that is looked at, in bytes.
const maxAccept = 256

// lang is the language of an answer: chosen by ?lang=, chosen before, or by the
// browser's Accept-Language.
func lang(r *http.Request) string {
	if q := asked(r); q != "" {
		return q
	}
	if c, err := r.Cookie(langCookie); err == nil && slices.Contains(languages, c.Value) {
		return c.Value
	}
	accept := r.Header.Get("Accept-Language")
	if len(accept) > maxAccept {
		accept = accept[:maxAccept]
		accept = accept[:strings.LastIndexByte(accept, ',')+1] // no half tag
	}
	tags, _, err := language.ParseAcceptLanguage(strings.TrimSuffix(accept, ","))
	if err != nil || len(tags) == 0 {
		return languages[0]
	}
	_, i, _ := matcher.Match(tags...)
	return languages[i]
}

// asked is the language in the address, if it is one of ours.
func asked(r *http.Request) string {
	if q := r.URL.Query().Get("lang"); slices.Contains(languages, q) {
		return q
	}
	return ""
}

// remember keeps a language chosen in the address for the pages that follow.
func remember(rw http.ResponseWriter, r *http.Request) {
	if l := asked(r); l != "" {
		speak(rw, r, l)
	}
}

// speak makes it the language of this browser.
func speak(rw http.ResponseWriter, r *http.Request, l string) {
	http.SetCookie(rw, &http.Cookie{Name: langCookie, Value: l, Path: "/", MaxAge: yearLong, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	putCookie(r, langCookie, l, yearLong)
}
