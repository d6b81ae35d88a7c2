package window

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "01JD0000000000000000000AAA"

// shop is what a window shows, in memory.
type shop struct {
	Book
	err      error // of every answer
	machines []*fleet.Machine
	set      map[string]string
	starting bool
	record   fleet.Record
}

func (s *shop) Now(context.Context) (time.Time, error)            { return time.Unix(7, 0), s.err }
func (s *shop) Since(context.Context, time.Time) (uint64, error)  { return 9, s.err }
func (s *shop) At(context.Context, uint64) (fleet.Record, error)  { return s.record, s.err }
func (s *shop) LastBalance(context.Context) (fleet.Record, error) { return s.record, s.err }
func (s *shop) History(context.Context, string) ([]fleet.Entry, error) {
	return []fleet.Entry{s.record.Entry}, s.err
}
func (s *shop) Read(_ context.Context, order string) (fleet.Entry, error) {
	return fleet.Entry{Revision: fleet.Revision{Seq: 5}}, s.err
}
func (s *shop) Follow(_ context.Context, from uint64, each func(fleet.Record), ready func()) error {
	if each(s.record); ready != nil {
		ready()
	}
	return s.err
}

func (s *shop) Ready() <-chan struct{} {
	c := make(chan struct{})
	if !s.starting {
		close(c)
	}
	return c
}
func (s *shop) Changed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
func (s *shop) Machines() []*fleet.Machine { return s.machines }

type memSettings struct{ *shop }

func (s memSettings) Get(_ context.Context, key string) ([]byte, error) {
	return []byte(s.set[key]), s.err
}
func (s memSettings) Put(_ context.Context, key string, v []byte) error {
	s.set[key] = string(v)
	if name, is := fleet.CordonedBy(key); is {
		c := fleet.ParseCordon(v)
		s.machines = []*fleet.Machine{{Presence: fleet.Presence{Machine: name}, Cordon: &c}}
		s.shop.machines = s.machines
	}
	return s.err
}
func (s memSettings) Delete(_ context.Context, key string) error {
	delete(s.set, key)
	s.shop.machines = nil
	return s.err
}

func open() (*shop, *Window) {
	c := fleet.Create(fleet.Order{ID: id, Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: fleet.NoMilk}, fleet.Items{"arabica": 9}, fleet.Success(id), "web")
	s := &shop{set: map[string]string{}, record: fleet.Record{Entry: fleet.Entry{Claim: c, Revision: fleet.Revision{Seq: 3, Rec: "R"}}, IsClaim: true, Act: true}}
	return s, New(Parts{
		Book: s, Follow: s.Follow, Roll: s, Settings: memSettings{s},
		All: func(context.Context) (map[string]fleet.Setting, string, error) {
			return map[string]fleet.Setting{"menu": {Value: []byte("x")}, "Odd/key_": {Rev: 3}}, "store", s.err
		},
		Waiting: func(context.Context) (map[fleet.Class]int, error) {
			return map[fleet.Class]int{{Bean: "arabica", Milk: "free"}: 2}, s.err
		},
		Stored: func(context.Context) ([]fleet.StoredOrder, error) {
			return []fleet.StoredOrder{{Order: id, Seq: 2, Body: []byte("b")}}, s.err
		},
		Told: func(context.Context) (uint64, error) { return 4, s.err },
	})
}

// Request has the window answer in the same process.
func (w *Window) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	return w.answer(ctx, subject, body), nil
}

func told(t *testing.T, w *Window, subject, body string) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal(w.answer(t.Context(), subject, []byte(body)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDecode: a request is one object of the right form, or it is refused.
func TestDecode(t *testing.T) {
	if a, err := decode([]byte(`{"order":"` + id + `","seq":7,"later":[1],"key":"cordon.zoe","value":"e30="}`)); err != nil || a.Seq != 7 || a.Order != id || string(a.Value) != "{}" {
		t.Errorf("%+v %v", a, err)
	}
	for name, body := range map[string]string{
		"nothing": "", "a list": "[]", "something behind": "{}{}", "a key twice": `{"seq":1,"seq":2}`,
		"a negative sequence": `{"seq":-1}`, "text for a number": `{"seq":"1"}`, "half": `{"seq":1.5}`,
		"no id": `{"order":"*"}`, "an id in small letters": `{"order":"` + strings.ToLower(id) + `"}`,
		"a wildcard": `{"key":">"}`, "a wildcard within": `{"key":"cordon.*"}`, "an empty token": `{"key":"cordon."}`, "a long key": `{"key":"` + strings.Repeat("a.", 60) + `a"}`,
		"no time": `{"time":"noon"}`, "no base64": `{"value":"%"}`, "not UTF-8": "{\"after\":\"\xff\"}",
		"a long name": `{"after":"` + strings.Repeat("a", 5000) + `"}`, "huge": `{"value":"` + strings.Repeat("A", maxAsk) + `"}`,
	} {
		if a, err := decode([]byte(body)); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
		_, w := open()
		if r := told(t, w, "coffee.window.now", body); r.Code != codeRefused {
			t.Errorf("%s: answered %+v", name, r)
		}
	}
}

// A verb answers on its own subject only: what an operator may ask is no verb of the
// pages under another name.
func TestFamilies(t *testing.T) {
	s, w := open()
	for verb := range verbs {
		own := fleet.WindowSubject(verb)
		if !slices.Contains(fleet.WindowSubjects(true), own) {
			t.Errorf("%s is in nobody's rights", own)
		}
		for _, subject := range []string{"coffee.window." + verb, "coffee.window.op." + verb, "coffee.window.x." + verb, verb} {
			r := told(t, w, subject, `{"key":"cordon.zoe","value":"`+"eyJieSI6IkEiLCJyZWFzb24iOiJCIn0="+`","order":"`+id+`"}`)
			if (subject == own) != (r.Code != codeRefused) {
				t.Errorf("%s on %s: %q", verb, subject, r.Code)
			}
		}
	}
	if len(verbs) != len(fleet.WindowSubjects(true)) || len(s.set) != 0 && s.set["cordon.zoe"] == "" {
		t.Error(len(verbs), s.set)
	}
}

// TestSettings: what the verbs of an operator write is written, and nothing else.
func TestSettings(t *testing.T) {
	s, w := open()
	c := Remote(w)
	menu, _ := json.Marshal(fleet.DefaultMenu())
	cordon := `{"by":"Ada","reason":"new grinder","at":"2026-11-30T12:00:00Z"}`
	for _, one := range []struct {
		key, value string
		ok         bool
	}{
		{"menu", string(menu), true}, {"menu", "{}", false}, {"menu", "", false}, {"menu", "null", false},
		{"cordon.zoe", cordon, true}, {"cordon.zoe", "", false}, {"cordon.zoe", "{}", false}, {"cordon.zoe", `{"by":"Ada"}`, false},
		{"cordon.zoe", `{"by":"Ada","reason":"a\u001b[2J"}`, false}, {"cordon.zoe", `{"by":" Ada","reason":"a"}`, false},
		{"cordon", cordon, false}, {"cordon.zoe.more", cordon, false}, {"seen.zoe", cordon, false}, {"doses", "{}", false}, {"recipes.small", "{}", false},
	} {
		clear(s.set)
		err := c.Put(t.Context(), one.key, []byte(one.value))
		if (err == nil) != one.ok || (s.set[one.key] == one.value) != one.ok && one.value != "" || len(s.set) > 0 != one.ok {
			t.Errorf("%s = %s: %v, %v", one.key, one.value, err, s.set)
		}
	}
	for key, ok := range map[string]bool{"cordon.zoe": true, "menu": false, "seen.zoe": false, "cordon": false, "cordon.zoe.x": false} {
		s.set[key] = "x"
		err := c.Delete(t.Context(), key)
		if _, there := s.set[key]; (err == nil) != ok || there == ok {
			t.Errorf("delete %s: %v", key, err)
		}
	}
}

// TestErrors: what an error means is known on the other side.
func TestErrors(t *testing.T) {
	s, w := open()
	c := Remote(w)
	for _, want := range []error{fleet.ErrNotFound, fleet.ErrDamaged, fleet.ErrNoAnswer, fleet.ErrFull} {
		s.err = fmt.Errorf("somewhere deep: %w", want)
		ctx := t.Context()
		got := map[string]error{}
		_, got["now"] = c.Now(ctx)
		_, got["since"] = c.Since(ctx, time.Now())
		_, got["at"] = c.At(ctx, 1)
		_, got["balance"] = c.LastBalance(ctx)
		_, got["history"] = c.History(ctx, id)
		e, err := c.Read(ctx, id)
		got["read"] = err
		_, got["get"] = c.Get(ctx, "menu")
		got["put"] = c.Put(ctx, "cordon.zoe", []byte(`{"by":"A","reason":"B"}`))
		got["delete"] = c.Delete(ctx, "cordon.zoe")
		_, _, got["all"] = c.AllSettings(ctx)
		_, got["waiting"] = c.Waiting(ctx)
		_, got["stored"] = c.Stored(ctx)
		_, got["told"] = c.Told(ctx)
		for verb, err := range got {
			for _, other := range []error{fleet.ErrNotFound, fleet.ErrDamaged, fleet.ErrNoAnswer, fleet.ErrFull, fleet.ErrNobody} {
				if is := err != nil && strings.Contains(err.Error(), other.Error()); is != (other == want) {
					t.Errorf("%s of %v: %v", verb, want, err)
				}
			}
		}
		if want == fleet.ErrDamaged && (e.Order.ID != id || e.Seq != 5) {
			t.Errorf("which order is damaged is not said: %+v", e)
		}
	}
}

// A roll that is still being read would show a part of the machines.
func TestStarting(t *testing.T) {
	s, w := open()
	s.starting = true
	if r := told(t, w, "coffee.window.machines", "{}"); r.Code != codeBusy {
		t.Errorf("%+v", r)
	}
}

// TestPages: a list comes whole, however little fits into an answer.
func TestPages(t *testing.T) {
	s, w := open()
	w.p.MaxPayload = func() int { return 8 << 10 }
	for i := range 1000 {
		s.machines = append(s.machines, &fleet.Machine{Here: i%2 == 0, Presence: fleet.Presence{
			Machine: fmt.Sprintf("m%04d", i), Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: fleet.StateReady}})
	}
	asked := &counter{w: w, t: t, most: 8 << 10}
	all, err := Remote(asked).Machines(t.Context())
	if err != nil || len(all) != 1000 || all[999].Machine != "m0999" || !all[998].Here || all[999].Here || asked.n < 50 {
		t.Errorf("%d machines in %d answers, %v", len(all), asked.n, err)
	}
	w.p.MaxPayload = nil
	whole := New(w.p)
	asked = &counter{w: whole, t: t, most: largest}
	if all, err = Remote(asked).Machines(t.Context()); err != nil || len(all) != 1000 || asked.n > 2 {
		t.Errorf("%d machines in %d answers, %v", len(all), asked.n, err)
	}
	settings, _, err := Remote(asked).AllSettings(t.Context())
	if len(settings) != 2 || err != nil {
		t.Error(settings, err)
	}
}

type counter struct {
	w    *Window
	t    *testing.T
	mu   sync.Mutex
	n    int
	most int
}

func (c *counter) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	b := c.w.answer(ctx, subject, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; len(b) > c.most {
		c.t.Errorf("%s: an answer of %d bytes", subject, len(b))
	}
	return b, nil
}

// A balance that is larger than any answer still says what its readers need, and what is
// too large for that says so.
func TestFitting(t *testing.T) {
	b := fleet.Balance{Upto: 5, Acts: 4, Levels: map[string]fleet.Level{"arabica": {OnHand: 3}}, Open: []fleet.Share{{Order: id, Seq: 3}}}
	for i := range 500 {
		b.Keys = append(b.Keys, fleet.Keyed{Key: fmt.Sprint("k", i), Act: fleet.Refill})
	}
	r := fleet.Record{Balance: &b, Act: true}
	r.Seq, r.Rec = 6, "R"
	for most, want := range map[int]string{1 << 20: "whole", 4 << 10: "slim", 200: "unread"} {
		out := fitting(r, most)
		got, err := readRecord(out)
		if len(out) > most+200 || err != nil || got.Seq != 6 {
			t.Errorf("%d bytes of %d, %v", len(out), most, err)
		}
		is := "unread"
		if got.Balance != nil && len(got.Balance.Keys) == 500 {
			is = "whole"
		} else if got.Balance != nil && len(got.Balance.Open) == 1 && got.Balance.Upto == 5 {
			is = "slim"
		}
		if is != want || (got.Unread != "") != (want == "unread") {
			t.Errorf("in %d bytes: %s, want %s", most, is, want)
		}
	}
	if len(b.Keys) != 500 {
		t.Error("the ledger's own balance was cut")
	}
}

// FuzzAnswer throws anything at a window: it answers, it does not panic, and it sets
// nothing but the menu and cordons, to what they may be.
func FuzzAnswer(f *testing.F) {
	for verb := range verbs {
		f.Add(fleet.WindowSubject(verb), []byte(`{"order":"`+id+`","seq":1,"end":true,"key":"cordon.zoe","value":"eyJieSI6IkEiLCJyZWFzb24iOiJCIn0="}`))
	}
	f.Add("", []byte(`{"key":"menu"`))
	f.Fuzz(func(t *testing.T, subject string, body []byte) {
		s, w := open()
		if a, err := decode(body); err == nil && a.Wait {
			return // it would wait
		}
		var r reply
		if err := json.Unmarshal(w.answer(t.Context(), subject, body), &r); err != nil {
			t.Fatal(err)
		}
		for key, v := range s.set {
			if _, cordon := fleet.CordonedBy(key); !cordon && key != fleet.KeyMenu {
				t.Errorf("%s was set to %q", key, v)
			}
		}
	})
}

// FuzzRemote has a controller answer anything: whoever asked gets an error or what a
// shop could mean, and does not panic.
func FuzzRemote(f *testing.F) {
	s, w := open()
	for verb := range verbs {
		f.Add(w.answer(context.Background(), fleet.WindowSubject(verb), []byte(`{"order":"`+id+`","seq":3,"key":"menu"}`)))
	}
	f.Add(fitting(s.record, largest))
	for _, endless := range []string{`"machines":[{"machine":"zoe","here":true}]`, `"settings":[{"key":"menu"}]`, `"stored":[{"seq":2}]`, `"records":[{"seq":3,"unread":"x"}]`} {
		f.Add([]byte(`{"more":true,` + endless + `}`))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c := Remote(fixed(answer))
		if strings.Contains(string(answer), codeBusy) {
			return // it would ask again
		}
		if r, err := c.At(ctx, 3); err == nil && r.Unread == "" && r.Check(r.Seq) != nil {
			t.Errorf("%+v", r)
		}
		if e, err := c.Read(ctx, id); err == nil && e.Claim.Check() != nil {
			t.Errorf("%+v", e)
		}
		if all, err := c.Machines(ctx); err == nil {
			for _, m := range all {
				fleet.CommandSubject(m.Machine)
			}
		}
		_, _ = c.History(ctx, id)
		_, _ = c.Stored(ctx)
		_, _ = c.Waiting(ctx)
		_, _, _ = c.AllSettings(ctx)
	})
}

type fixed []byte

func (b fixed) Request(context.Context, string, []byte) ([]byte, error) { return b, nil }
