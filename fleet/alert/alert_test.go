package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

// TestFold: when a person hears of it, look by look. A letter is something wrong, a
// a capital one something dangerous; a number is how many things the message has; ~ is a
// quiet hour, x a message that did not go.
func TestFold(t *testing.T) {
	begin := time.Now()
	for script, want := range map[string]string{
		"a a a a a":                   ". . 1 . .",     // once, after two minutes
		"a - a a - a a":               ". . . . . . .", // never for long enough
		"a ab ab ab ab":               ". . 1 2 .",     // what comes later is told with what is wrong still
		"a a a - - - - a a a":         ". . 1 . . 0 . . . 1",
		"a a a - a - - - -":           ". . 1 . . . . 0 .", // not well for long enough, at first
		"ab ab ab b b ab ab ab":       ". . 2 . . . . 2",   // one came back
		"a a ~a ~a ~a a a":            ". . . . . 1 .",     // what is wrong still after the quiet
		"a a ~a ~- ~- ~- -":           ". . . . . . .",     // what was over before it was told
		"a a a ~- ~- ~- - -":          ". . 1 . . . 0 .",
		"a a xa xa a a":               ". . x x 1 .", // it is tried again
		"a a a xb xb xb b b - - x- -": ". . 1 . . x 1 . . . x 0",
		"- - -":                       ". . .",
		"~A ~A ~A ~A":                 ". . 1 .", // danger, at night
		"~Ab ~Ab ~Ab":                 ". . 2",
		"~a ~a ~aB ~aB ~aB ~abB c":    ". . . . 2 . .",   // with all the rest; and what is not is quiet again
		"~a ~A ~A ~A ~- ~- ~- -":      ". . . 1 . . . 0", // it got worse; that it is over waits
		"a a a ~aA ~aA ~aA ~aA":       ". . 1 . . 2 .",
		"~A ~A ~xA ~xA ~A ~A":         ". . x x 1 .",
		"abcdefghijklmn abcdefghijklmn abcdefghijklmn": ". . 14",
	} {
		var f fold
		var got []string
		for i, look := range strings.Fields(script) {
			rest := strings.TrimLeft(look, "~x-")
			var wrong []Wrong
			for _, r := range rest {
				wrong = append(wrong, Wrong{Key: string(r), Text: fmt.Sprint(i), Danger: unicode.IsUpper(r)})
			}
			keys, news, urgent := f.ripe(wrong, begin.Add(time.Duration(i)*time.Minute), 2*time.Minute)
			switch {
			case !news || strings.HasPrefix(look, "~") && !urgent:
				got = append(got, ".")
			case strings.Contains(look, "x"):
				got = append(got, "x")
			default:
				f.heard(keys)
				got = append(got, fmt.Sprint(len(keys)))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s\n got %s\nwant %s", script, s, want)
		}
	}
}

func TestHours(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 11, 30, h, m, 0, 0, time.Local) }
	night, noon := Hours{22 * time.Hour, 6*time.Hour + 30*time.Minute}, Hours{12 * time.Hour, 13 * time.Hour}
	for _, c := range []struct {
		h    Hours
		at   time.Time
		want bool
	}{
		{night, at(21, 59), false}, {night, at(22, 0), true}, {night, at(3, 0), true}, {night, at(6, 29), true}, {night, at(6, 30), false},
		{noon, at(12, 0), true}, {noon, at(13, 0), false}, {noon, at(3, 0), false}, {Hours{}, at(0, 0), false},
	} {
		if c.h.Has(c.at) != c.want {
			t.Errorf("%v has %v: %v", c.h, c.at, !c.want)
		}
	}
}

// post is one message as it came.
type post struct {
	path, text string
	header     http.Header
}

// TestMessages: a webhook and ntfy, over real HTTP; the first answer of each is an error.
func TestMessages(t *testing.T) {
	var mu sync.Mutex
	var came []post
	refused := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if !refused[r.URL.Path] {
			refused[r.URL.Path] = true
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		came = append(came, post{r.Method + " " + r.URL.Path, string(b), r.Header})
	}))
	defer server.Close()
	seen := Seen{
		Wrong: []Wrong{{Key: "machine zoe fault", Text: "zoe has a fault: no-flow\x1b[2J\n- it's a \"trap\""}, {Key: "unknown", Text: "1 order of which nobody knows"}},
		Next:  []string{`barista machine clear-fault zoe --reason "what was done"`, "barista why last unknown"},
	}
	var lookMu sync.Mutex
	var log strings.Builder
	a := New(Config{Shop: "corner", Webhook: server.URL + "/secret-hook", Ntfy: server.URL + "/topic", Token: word("tk"), Every: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(context.Context) (Seen, error) {
			lookMu.Lock()
			defer lookMu.Unlock()
			return seen, nil
		})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	wait := func(n int) []post {
		t.Helper()
		deadline := time.Now().Add(2 * time.Minute)
		for {
			mu.Lock()
			got := came
			mu.Unlock()
			if len(got) >= n {
				return got
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d messages of %d", len(got), n)
			}
			<-time.After(time.Millisecond)
		}
	}
	wait(2)
	lookMu.Lock()
	seen = Seen{}
	lookMu.Unlock()
	got := wait(4)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(got) != 4 {
		t.Errorf("%d messages", len(got))
	}
	const text = "- zoe has a fault: no-flow [2J - it's a \"trap\"\n- 1 order of which nobody knows\n" +
		"type: barista machine clear-fault zoe --reason \"what was done\"\ntype: barista why last unknown"
	for _, p := range got {
		if p.header.Get("Authorization") != "Bearer tk" {
			t.Errorf("%s: %v", p.path, p.header)
		}
	}
	by := map[string][]post{}
	for _, p := range got {
		by[p.path] = append(by[p.path], p)
	}
	hooks, topics := by["POST /secret-hook"], by["POST /topic"]
	if len(hooks) != 2 || len(topics) != 2 {
		t.Fatalf("%+v", got)
	}
	var m, well message
	if err := errors.Join(json.Unmarshal([]byte(hooks[0].text), &m), json.Unmarshal([]byte(hooks[1].text), &well)); err != nil {
		t.Fatal(err)
	}
	if m.OK || m.Title != "corner: 2 things need a hand" || m.Text != m.Title+"\n"+text || len(m.Wrong) != 2 || len(m.Next) != 2 || m.Shop != "corner" {
		t.Errorf("%+v", m)
	}
	if !well.OK || well.Text != "corner: all is well again" || well.Wrong == nil {
		t.Errorf("%+v", well)
	}
	if topics[0].text != text || topics[0].header.Get("Title") != m.Title || topics[0].header.Get("Priority") != "high" || topics[1].text != well.Text || topics[1].header.Get("Priority") != "" {
		t.Errorf("%+v", topics)
	}
	if s := log.String(); strings.Count(s, "tried again") != 2 || strings.Contains(s, "secret-hook") || !strings.Contains(s, "answers 307") {
		t.Error(s)
	}
}

// TestQuiet: nothing is sent in the quiet hours but what is dangerous, and what is wrong
// still is sent after.
func TestQuiet(t *testing.T) {
	sent := 0
	target := &target{send: func(context.Context, message) error {
		sent++
		return errors.New("counted")
	}}
	cfg := Config{Wall: time.Now, Log: slog.New(slog.DiscardHandler)}
	for i, c := range []struct{ quiet, danger bool }{{true, false}, {true, false}, {false, false}, {true, true}, {true, false}} {
		target.tell(t.Context(), cfg, Seen{Wrong: []Wrong{{"a", "a", false}, {"b", "b", c.danger}}}, c.quiet)
		if want := []int{0, 0, 1, 2, 2}[i]; sent != want {
			t.Errorf("look %d: %d sent, want %d", i, sent, want)
		}
	}
}

// TestTriedMoreSeldom: a message that can't be sent is tried at the next look, then ever
// more seldom, every ten minutes in the end; and the next one at once.
func TestTriedMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var tries []string
		bad := errors.New("who are you?")
		one := &target{name: "lea@example.org", send: func(context.Context, message) error {
			tries = append(tries, time.Since(begun).String())
			return bad
		}}
		cfg := Config{Every: every, Wall: time.Now, Log: slog.New(slog.DiscardHandler)}
		looks := func(d time.Duration, wrong ...Wrong) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(every) {
				one.tell(t.Context(), cfg, Seen{Wrong: wrong}, false)
			}
		}
		a := Wrong{Key: "a", Text: "a"}
		looks(45*time.Minute, a)
		want := "0s 20s 1m0s 2m20s 5m0s 10m20s 20m20s 30m20s 40m20s"
		if got := strings.Join(tries, " "); got != want {
			t.Errorf("tried after %s", got)
		}
		bad, tries = nil, nil
		looks(10*time.Minute, a)
		looks(time.Minute, a, Wrong{Key: "b", Text: "b"})
		if got := strings.Join(tries, " "); got != "50m20s 55m0s" {
			t.Errorf("tried after %s", got)
		}
	})
}

// TestCompose: a message has room on a phone, whatever is wrong.
func TestCompose(t *testing.T) {
	var seen Seen
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint(i))
		seen.Wrong = append(seen.Wrong, Wrong{keys[i], strings.Repeat("é\n", 900), i == 39})
		seen.Next = append(seen.Next, "barista status")
	}
	a := New(Config{Shop: "corner", Ntfy: "http://127.0.0.1:1/x"}, nil)
	r, err := a.toNtfy(t.Context(), compose(a.cfg, seen, keys))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	if len(b) > 4096 || !utf8.Valid(b) {
		t.Errorf("%d bytes", len(b))
	}
	if p := r.Header.Get("Priority"); p != "urgent" {
		t.Error(p)
	}
	if m := compose(a.cfg, seen, keys[:39]); m.Danger || strings.Contains(m.Title, "at once") {
		t.Error(m.Title)
	}
	if m := compose(a.cfg, Seen{Wrong: []Wrong{{Key: "a", Text: "beans"}, {Key: "b", Text: "too hot", Danger: true}}}, []string{"a", "b"}); !slices.Equal(m.Wrong, []string{"too hot", "beans"}) {
		t.Error(m.Wrong)
	}
	if m := compose(a.cfg, seen, keys); strings.Count(m.Text, "\n") != 22 || !m.Danger || m.Title != "corner: 40 things need a hand, at once" || !strings.Contains(m.Text, "and 30 more: barista status") {
		t.Error(m.Text)
	}
}

// word is a token or password, as a file has it.
func word(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// TestToken: what can't be a token is not sent, and not said.
func TestToken(t *testing.T) {
	for token, want := range map[string]string{"tk": "Bearer tk", "t k": "", "tk\n": "", "ték": ""} {
		a := New(Config{Ntfy: "http://127.0.0.1:1/x", Token: word(token)}, nil)
		r, err := a.toNtfy(t.Context(), message{})
		if want != "" && (err != nil || r.Header.Get("Authorization") != want) || want == "" && (err == nil || strings.Contains(err.Error(), token)) {
			t.Errorf("%q: %v", token, err)
		}
	}
	a := New(Config{Ntfy: "http://127.0.0.1:1/x", Token: func() (string, error) { return "", errors.New("others may read it") }}, nil)
	if _, err := a.toNtfy(t.Context(), message{}); err == nil || err.Error() != "the token: others may read it" {
		t.Error(err)
	}
}

// TestNobody: a shop that does not answer is something wrong.
func TestNobody(t *testing.T) {
	a := New(Config{}, func(context.Context) (Seen, error) { return Seen{}, errors.New("no broker") })
	if s := a.see(t.Context()); len(s.Wrong) != 1 || s.Wrong[0] != (Wrong{Key: "shop", Text: "the shop does not answer: no broker"}) {
		t.Errorf("%+v", s)
	}
}
