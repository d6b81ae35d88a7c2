package web

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"barista/fleet"
	"barista/fleet/words"
	metal "barista/machine"
)

var verb = regexp.MustCompile(`%(\[\d+\])?[a-z%]`)

func TestCataloguesAreTheSame(t *testing.T) {
	en, fr := readWords("en"), readWords("fr")
	for key, text := range en.text {
		other, there := fr.text[key]
		if !there {
			t.Errorf("%s is missing in French", key)
			continue
		}
		verbs := func(s string) []string {
			v := verb.FindAllString(s, -1)
			slices.Sort(v)
			return v
		}
		if !slices.Equal(verbs(text), verbs(other)) {
			t.Errorf("%s: English takes %q, French %q", key, verbs(text), verbs(other))
		}
		if strings.TrimSpace(text) == "" || strings.TrimSpace(other) == "" {
			t.Errorf("%s is empty", key)
		}
	}
	for key := range fr.text {
		if _, there := en.text[key]; !there {
			t.Errorf("%s is missing in English", key)
		}
	}
}

// TestFrenchIsTypeset: no French text of the pages, nor of the codes that they show, lets a
// line break before a mark, or has none of the space before it, or a typewriter's apostrophe.
func TestFrenchIsTypeset(t *testing.T) {
	texts := maps.Clone(readWords("fr").text)
	for _, code := range words.Codes("fr") {
		for reader, text := range map[string]string{"operator": words.Operator("fr", code), "customer": words.Customer("fr", code), "now": words.Now("fr", code)} {
			texts[code+" to "+reader] = text
		}
	}
	wrong := regexp.MustCompile(`'|[  ]…| [:;!?»]|« |[\pL\pN)][;!?»]|[\pL)]:$`)
	for key, text := range texts {
		if at := wrong.FindString(text); at != "" {
			t.Errorf("%s: %q in %q", key, at, text)
		}
	}
}

// composed are the keys that are put together from a kind and a word.
func composed() map[string]bool {
	out := map[string]bool{}
	add := func(kind string, all ...string) {
		for _, w := range all {
			out[kind+"."+w] = true
		}
	}
	menu := fleet.DefaultMenu()
	add("bean", menu.Beans...)
	add("milk", menu.Milks...)
	for _, s := range fleet.Sizes {
		add("size", string(s))
	}
	add("sugar", "0", "1", "2", "3")
	add("step", "grind", "heat", "pour", "milk", "sugar", "rest")
	for _, s := range []fleet.State{fleet.StateStarting, fleet.StateReady, fleet.StateBusy, fleet.StateWaiting, fleet.StateBlocked,
		fleet.StateFault, fleet.StateCordoned, fleet.StateDraining, fleet.StateUnsynced} {
		add("state", string(s))
	}
	add("cupkind", "sensor", "dispenser", "page", "attended")
	add("text", "cup.sensor", "cup.dispenser", "cup.attended", "brewing.attended", "brewing.dispenser")
	add("head", "cup.dispenser", "cup.attended")
	add("second", "rate", "id_conflict")
	add("wrong", "name", "size", "bean_type", "milk", "sugar_count", "id")
	add("error", fleet.CodeInvalid, fleet.CodeNotOnMenu, fleet.CodeOutOfStock, fleet.CodeQueueFull, fleet.CodeConflict, fleet.CodeUnavailable)
	add("drink", "espresso", "lungo", "americano", "macchiato", "creme", "cappuccino", "latte")
	add("pair", "first", "second")
	add("done", "accepted", "refused", "revoked", "everywhere", "cordoned", "drained", "uncordoned", "cleared", "stopped", "settled", "again", "added", "counted", "wasted", "care", "cared", "cup", "tried", "retired", "retired_uncut")
	add("stays", fleet.StaysInService, fleet.StaysUnparked, fleet.StaysUncut, fleet.StaysOwn, fleet.StaysAwaited, fleet.StaysClosed, fleet.StaysHolds, fleet.StaysUnchecked)
	add("unit", "g", "ml", "doses")
	add("refill", "g", "ml", "doses")
	add("member", "machine", "controller", "stock", "web", "operator", "monitor", "hub", "admin", "article", "foreign", "archive", "homeassistant")
	for act, sights := range map[string][]string{"jam": {"hit", "parked", "other", "back"}, "unplug": {"hit", "parked", "other", "back"},
		"milk": {"level", "refused", "others", "back"}, "cut": {"gone", "waits", "back", "settled", "late"}, "kill": {"reborn", "doubt", "ready"}} {
		add("chaos", act)
		add("chaos."+act, append(sights, "text", "sim", "do", "undo")...)
	}
	add("chaos", string(ChaosWaits), string(ChaosBroken), string(ChaosMended))
	for _, k := range []fleet.EventKind{fleet.EvAccepted, fleet.EvClaimed, fleet.EvReleased, fleet.EvCup, fleet.EvBrewing, fleet.EvUnknown,
		fleet.EvAgain, fleet.EvServed, fleet.EvFailed, fleet.EvCancelled, fleet.EvExpired} {
		add("event", string(k))
	}
	for _, o := range []fleet.Outcome{fleet.Made, fleet.Spoiled, fleet.Untouched, fleet.OutcomeUnknown} {
		add("event", "end_"+string(o))
		add("ended", string(o))
	}
	for _, f := range metal.Faults {
		if _, shown := seen(fleet.Machine{})[f.Lacks]; f.Lacks != "" && !shown {
			add("out", f.Lacks)
		}
	}
	for _, what := range []string{"beans", "water", "tray"} {
		add("gauge", what, what+".there", what+".out")
	}
	add("gauge", "milk", "none", "silent")
	add("history", "hours", "outcomes", "promise", "machines", "beans")
	add("outcome", ends...)
	add("curves", "flow", "temperature", "weight")
	add("part", "grinder", "pump", "heater", "milk", "sugar", "rinse", "cups")
	add("lately", "stop", "clear-fault", "cup", "try", "cared", "back")
	add("sensor", "flow", "weight", "cup", "temperature")
	for _, kind := range fleet.CareKinds {
		add("care", string(kind))
	}
	for _, said := range []string{"taken", "again", "cup", "brewing", "served", "served_somewhere", "failed", "unknown", "cancelled", "expired", "away", "stopped", "unknown_tell"} {
		add("head", said)
		add("text", said)
	}
	return out
}

func TestEveryKeyIsUsedAndThere(t *testing.T) {
	var source strings.Builder
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	views, err := filepath.Glob("view/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, views...) {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(b)
	}
	src := source.String()
	en, made := readWords("en"), composed()
	for key := range en.text {
		if !made[key] && !strings.Contains(src, `"`+key+`"`) {
			t.Errorf("%s is used nowhere", key)
		}
	}
	for key := range made {
		if _, there := en.text[key]; !there {
			t.Errorf("%s is needed and missing", key)
		}
	}
	for _, m := range regexp.MustCompile(`(?:\bt|say\()\s?"([a-z_]+\.[a-z_.]+)"`).FindAllStringSubmatch(src, -1) {
		if _, there := en.text[m[1]]; !there && !strings.HasSuffix(m[1], ".") {
			t.Errorf("%s is used and missing", m[1])
		}
	}
}

func TestLanguageOfARequest(t *testing.T) {
	for _, tt := range []struct{ accept, query, cookie, want string }{
		{"", "", "", "en"},
		{"fr", "", "", "fr"},
		{"fr-CA,fr;q=0.9,en;q=0.8", "", "", "fr"},
		{"de,fr;q=0.5,en;q=0.3", "", "", "fr"},
		{"de", "", "", "en"},
		{"en-GB", "", "fr", "fr"},
		{"fr", "en", "fr", "en"},
		{"fr", "xx", "", "fr"},
		{"fr", "", "<script>", "fr"},
		{";;;q=", "", "", "en"},
		{strings.Repeat("x", 20000), "", "", "en"},
		{"fr," + strings.Repeat("x-,", 10000), "", "", "en"},
		{"fr," + strings.Repeat("de,", 1000), "", "", "fr"},
	} {
		r := httptest.NewRequest("GET", "/?lang="+tt.query, nil)
		r.Header.Set("Accept-Language", tt.accept)
		if tt.cookie != "" {
			r.AddCookie(&http.Cookie{Name: langCookie, Value: tt.cookie})
		}
		if got := lang(r); got != tt.want {
			t.Errorf("%.40q ?lang=%s cookie %q: %s, want %s", tt.accept, tt.query, tt.cookie, got, tt.want)
		}
	}
}

func TestPagesSpeakTheCustomersLanguage(t *testing.T) {
	h := open(t)
	fr := header("Accept-Language", "fr-FR,fr;q=0.9")
	page := text(t, h.ask("GET", "/", "", fr))
	contains(t, page, `<html lang="fr">`, "Commander un café", "Lait de soja", "Temps d&#39;attente", "1 à 2 min", `formaction="/language?lang=en"`)
	page = text(t, h.ask("GET", "/", ""))
	contains(t, page, `<html lang="en">`, "Order a coffee", "Soy milk", "Waiting time", "1 to 2 min", `formaction="/language?lang=fr"`)

	res := h.ask("GET", "/?lang=fr", "")
	contains(t, text(t, res), `<html lang="fr">`)
	if c := res.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "lang=fr; Path=/;") {
		t.Errorf("the choice was not kept: %q", c)
	}
}

func TestSpan(t *testing.T) {
	en := readWords("en")
	for _, tt := range []struct {
		low, high int // seconds
		want      string
	}{
		{0, 0, "less than a minute"}, {10, 60, "less than a minute"}, {30, 61, "up to 2 min"},
		{60, 120, "1 to 2 min"}, {120, 120, "about 2 min"}, {119, 120, "1 to 2 min"}, {600, 900, "10 to 15 min"},
	} {
		if got := en.span(time.Duration(tt.low)*time.Second, time.Duration(tt.high)*time.Second); got != tt.want {
			t.Errorf("%d to %d s: %q, want %q", tt.low, tt.high, got, tt.want)
		}
	}
}

func TestWordsOfOtherPeoplesMenus(t *testing.T) {
	fr := readWords("fr")
	for _, tt := range []struct{ kind, word, want string }{
		{"bean", "mixed", "Mélange"}, {"bean", "house-blend", "House blend"}, {"milk", "oat", "Oat"}, {"step", "", ""},
	} {
		if got := fr.name(tt.kind, tt.word); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.kind, tt.word, got, tt.want)
		}
	}
}
