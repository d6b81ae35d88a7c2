// Package alert tells a person who is not looking that a shop needs a hand: by a POST to
// a webhook (JSON), to a topic of ntfy (text that a phone shows), or by mail, each with
// the commands to type.
//
// It promises few messages: what is wrong for a while only, all of it in one, again only
// when something else is wrong too, and one when all is well. In the quiet hours it says
// nothing, and after them what is wrong still; but what is dangerous it says at any hour,
// with all the rest. What could not be sent is sent at a later
// look. It changes nothing in the shop, and nothing waits for it. What is wrong it is
// told; the shop runs it and waits for its end.
package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"barista/fleet"
)

// Wrong is one thing that needs a hand. The same thing has the same key.
type Wrong struct {
	Key, Text string
	Danger    bool // a person must come at once, whatever the hour
}

// Seen is one look at a shop.
type Seen struct {
	Wrong []Wrong
	Next  []string // commands that a person may type
}

// Config is where alerts go, and when.
type Config struct {
	Shop    string                 // who speaks, in the title
	Webhook string                 // URL; empty: none
	Ntfy    string                 // URL of a topic; empty: none
	Token   func() (string, error) // what is sent to both as a bearer's, asked for at each message; nil: nothing
	Mail    *Mail
	After   time.Duration
	Quiet   Hours
	Every   time.Duration // between two looks; 0: 20 s
	Log     *slog.Logger
	Wall    func() time.Time // nil: the computer's clock, by which people sleep
}

// Hours are a part of each day, by the local clock; From equal to To: none.
type Hours struct{ From, To time.Duration } // since midnight

// Has reports whether a moment is in them.
func (h Hours) Has(t time.Time) bool {
	at := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	if h.From <= h.To {
		return h.From <= at && at < h.To
	}
	return h.From <= at || at < h.To
}

const (
	every  = 20 * time.Second
	within = 15 * time.Second // a look, and each message
	seldom = 10 * time.Minute // the longest pause before a message is tried again
	most   = 10               // things and commands in one message
	// longest is how many bytes of text ntfy shows as such; more it makes a file of.
	longest = 4000
)

// Alerts looks and tells.
type Alerts struct {
	cfg     Config
	look    func(context.Context) (Seen, error)
	client  *http.Client
	targets []*target
}

// New makes them of a look at the shop; an error of it counts as something wrong.
func New(cfg Config, look func(context.Context) (Seen, error)) *Alerts {
	if cfg.Every == 0 {
		cfg.Every = every
	}
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	// A message goes where the file says, and nowhere else.
	a := &Alerts{cfg: cfg, look: look, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if cfg.Webhook != "" {
		a.targets = append(a.targets, &target{name: "webhook", send: a.sends(a.toWebhook)})
	}
	if cfg.Ntfy != "" {
		a.targets = append(a.targets, &target{name: "ntfy", send: a.sends(a.toNtfy)})
	}
	if m := cfg.Mail; m != nil {
		for _, to := range m.To { // each for himself: an address that is refused holds up no other
			a.targets = append(a.targets, &target{name: to, send: func(ctx context.Context, msg message) error { return m.send(ctx, to, msg, cfg.Wall()) }})
		}
	}
	return a
}

// Run looks until ctx ends.
func (a *Alerts) Run(ctx context.Context) error {
	defer a.client.CloseIdleConnections()
	tick := time.NewTicker(a.cfg.Every)
	defer tick.Stop()
	for {
		seen, quiet := a.see(ctx), a.cfg.Quiet.Has(a.cfg.Wall())
		var wg sync.WaitGroup
		for _, t := range a.targets { // one that does not answer holds up no other
			wg.Go(func() { t.tell(ctx, a.cfg, seen, quiet) })
		}
		wg.Wait()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *Alerts) see(ctx context.Context) Seen {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	seen, err := a.look(ctx)
	if err != nil {
		return Seen{Wrong: []Wrong{{Key: "shop", Text: "the shop does not answer: " + err.Error()}}, Next: []string{"barista status"}}
	}
	return seen
}

// target is one place to tell, and what was told there.
type target struct {
	name string
	send func(context.Context, message) error
	fold
	pause time.Duration // until the next try; 0: the last message went
	again time.Time     // when that is
}

func (t *target) tell(ctx context.Context, cfg Config, seen Seen, quiet bool) {
	now := time.Now()
	keys, news, urgent := t.ripe(seen.Wrong, now, cfg.After)
	if !news || quiet && !urgent || t.pause > 0 && now.Before(t.again) {
		return
	}
	within, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := t.send(within, compose(cfg, seen, keys))
	switch {
	case err == nil:
		t.heard(keys)
		t.pause = 0
	case ctx.Err() == nil:
		if t.pause == 0 {
			cfg.Log.Warn("an alert can't be sent, it is tried again: "+err.Error(), "to", t.name)
		}
		// At the next look first, and ever more seldom: a server that is asked for hours with
		// a password that is wrong bars whoever asks.
		t.pause = min(max(2*t.pause, cfg.Every), seldom)
		t.again = now.Add(t.pause - cfg.Every/2) // the looks are not to the moment
	}
}

// sends is how a message goes over HTTP.
func (a *Alerts) sends(request func(context.Context, message) (*http.Request, error)) func(context.Context, message) error {
	return func(ctx context.Context, m message) error {
		r, err := request(ctx, m)
		if err != nil {
			return err
		}
		res, err := a.client.Do(r)
		if err != nil {
			// The URL is in the error, and whoever knows it may send messages too.
			return fmt.Errorf("no answer from %s", r.URL.Host)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
		if res.StatusCode < 200 || res.StatusCode > 299 {
			return fmt.Errorf("%s answers %d", r.URL.Host, res.StatusCode)
		}
		return nil
	}
}

// fold remembers since when what is wrong, and what was told of it.
type fold struct {
	since map[string]time.Time // by the monotonic clock
	well  time.Time            // since when nothing is wrong; zero: something is
	told  []string             // keys of what is wrong still
	open  bool                 // a person was told of something wrong last
}

// ripe are the keys of what is wrong for long enough, and whether a person is to hear of
// them: because one is new, or because nothing is wrong any more, for as long. It is
// urgent if one that is new is dangerous.
func (f *fold) ripe(wrong []Wrong, now time.Time, after time.Duration) (keys []string, news, urgent bool) {
	since := map[string]time.Time{}
	for _, w := range wrong {
		began, known := f.since[w.Key]
		if !known {
			began = now
		}
		if since[w.Key] = began; now.Sub(began) >= after {
			keys = append(keys, w.Key)
			if !slices.Contains(f.told, w.Key) {
				news, urgent = true, urgent || w.Danger
			}
		}
	}
	f.since = since
	f.told = slices.DeleteFunc(f.told, func(key string) bool { return since[key].IsZero() })
	switch {
	case len(wrong) > 0:
		f.well = time.Time{}
		return keys, news, urgent
	case f.well.IsZero():
		f.well = now
	}
	return nil, f.open && now.Sub(f.well) >= after, false
}

// heard is what a person knows now.
func (f *fold) heard(keys []string) { f.told, f.open = keys, len(keys) > 0 }

// message is what a person reads, and a program.
type message struct {
	Shop   string   `json:"shop"`
	OK     bool     `json:"ok"`
	Danger bool     `json:"danger"` // of something wrong, which stands first
	Title  string   `json:"title"`
	Text   string   `json:"text"` // the whole, as several chats show it
	Wrong  []string `json:"wrong"`
	Next   []string `json:"next"`
	At     string   `json:"at"` // RFC 3339
}

// compose makes one message of all that is wrong for long enough.
func compose(cfg Config, seen Seen, keys []string) message {
	m := message{Shop: cfg.Shop, OK: len(keys) == 0, Wrong: []string{}, Next: []string{}, At: cfg.Wall().UTC().Format(time.RFC3339)}
	if m.OK {
		m.Title = cfg.Shop + ": all is well again"
		m.Text = m.Title
		return m
	}
	for _, danger := range []bool{true, false} { // what is cut off at the end is never a danger
		for _, w := range seen.Wrong {
			if w.Danger == danger && slices.Contains(keys, w.Key) {
				m.Wrong = append(m.Wrong, fleet.Plain(w.Text))
				m.Danger = m.Danger || danger
			}
		}
	}
	for _, command := range seen.Next {
		m.Next = append(m.Next, fleet.Plain(command))
	}
	m.Title = fmt.Sprintf("%s: %d things need a hand", cfg.Shop, len(m.Wrong))
	if len(m.Wrong) == 1 {
		m.Title = cfg.Shop + ": 1 thing needs a hand"
	}
	if m.Danger {
		m.Title += ", at once"
	}
	lines := []string{m.Title}
	for _, l := range []struct {
		before string
		lines  []string
	}{{"- ", m.Wrong}, {"type: ", m.Next}} {
		for _, line := range l.lines[:min(len(l.lines), most)] {
			lines = append(lines, l.before+line)
		}
		if n := len(l.lines) - most; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more: barista status", n))
		}
	}
	m.Text = strings.Join(lines, "\n")
	return m
}

func (a *Alerts) post(ctx context.Context, url, kind string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL can't be used") // it is not repeated
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("User-Agent", "barista")
	if a.cfg.Token == nil {
		return r, nil
	}
	token, err := a.cfg.Token()
	if err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token is none: letters, digits and marks")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

func (a *Alerts) toWebhook(ctx context.Context, m message) (*http.Request, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return a.post(ctx, a.cfg.Webhook, "application/json", body)
}

func (a *Alerts) toNtfy(ctx context.Context, m message) (*http.Request, error) {
	_, text, _ := strings.Cut(m.Text, "\n")
	if text == "" {
		text = m.Title
	}
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	r, err := a.post(ctx, a.cfg.Ntfy, "text/plain; charset=utf-8", []byte(text))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Title", m.Title) // the shop's name is a word of a-z
	r.Header.Set("Tags", "white_check_mark")
	if !m.OK {
		r.Header.Set("Tags", "warning")
		r.Header.Set("Priority", "high")
	}
	if m.Danger {
		r.Header.Set("Priority", "urgent") // which a phone rings for at night
	}
	return r, nil
}
