package door

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a door, a broker that only remembers the table, and the wire between a
// guest and the door.
type house struct {
	*Door
	t     *testing.T
	path  string
	mu    sync.Mutex // guards the following, which the door's own goroutines see too
	table roles.Table
	fails error
	left  []string
	menu  []fleet.Class
	print string
	here  map[string]string
	subs  map[string]func(context.Context, string, []byte) []byte
}

// Serve hears, as a broker would let it.
func (h *house) Serve(ctx context.Context, on string, _ bool, answer func(context.Context, string, []byte) []byte) error {
	h.mu.Lock()
	h.subs[on] = answer
	h.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

// as asks under an account's rights.
type as struct {
	h *house
	m roles.Member
}

func (a as) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	a.h.mu.Lock()
	table, subs := a.h.table, maps.Clone(a.h.subs)
	a.h.mu.Unlock()
	in := slices.ContainsFunc(table.Members, func(m roles.Member) bool { return m.Kind == a.m.Kind && m.Name == a.m.Name && m.Key == a.m.Key })
	if !in {
		return nil, errors.New("not a member")
	}
	for _, may := range a.m.Rights().Publish {
		if may == subject || strings.HasSuffix(may, ".*") && strings.TrimSuffix(may, "*") == subject[:strings.LastIndexByte(subject, '.')+1] {
			for on, answer := range subs {
				if on == subject || strings.HasSuffix(on, ".*") && strings.HasPrefix(subject, strings.TrimSuffix(on, "*")) {
					return answer(ctx, subject, body), nil
				}
			}
			return nil, fleet.ErrNobody
		}
	}
	return nil, fmt.Errorf("may not publish %s", subject)
}

func (h *house) open() *Door {
	h.t.Helper()
	d, err := Open(Parts{
		Server: h, Own: []roles.Member{h.member(roles.Controller, "controller"), h.member(roles.Operator, "home")},
		Change: func(t roles.Table) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.fails != nil {
				return h.fails
			}
			if _, err := t.Text(); err != nil {
				return err
			}
			h.table = t
			return nil
		},
		Classes: func() []fleet.Class { h.mu.Lock(); defer h.mu.Unlock(); return h.menu },
		Here:    func() map[string]string { return h.here },
		Left:    func(_ context.Context, m, by string) error { h.left = append(h.left, m+" by "+by); return nil },
		CA:      []byte("the CA"), Fingerprint: h.print,
	}, h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Door = d
	return d
}

func (h *house) member(k roles.Kind, name string) roles.Member {
	return roles.Member{Kind: k, Name: name, Key: aKey(h.t, string(k), name).Public()}
}

func aKey(t testing.TB, role, name string) *keys.Key {
	t.Helper()
	k, err := keys.New(role, name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, path: filepath.Join(t.TempDir(), "keys", "members.json"), menu: fleet.DefaultMenu().Classes(), print: strings.Repeat("ab", 32), subs: map[string]func(context.Context, string, []byte) []byte{}}
	h.open()
	return h
}

func (h *house) invite(kind, name string) (fleet.Invitation, *keys.Key) {
	h.t.Helper()
	i, err := h.Invite(h.t.Context(), kind, name, 0, "boss")
	if err != nil {
		h.t.Fatal(err)
	}
	code, err := keys.ParseCode(i.Code)
	if err != nil {
		h.t.Fatal(err)
	}
	k, err := code.Key("guest", name)
	if err != nil {
		h.t.Fatal(err)
	}
	return i, k
}

// third is the first member that is not the shop's own.
func (h *house) third() roles.Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table.Members[2]
}

// in names who may come in, by kind and name.
func (h *house) in() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, m := range h.table.Members {
		if m.Kind == roles.Guest {
			out = append(out, "guest")
			continue
		}
		out = append(out, string(m.Kind)+" "+m.Name)
	}
	return strings.Join(out, ", ")
}

// TestWay: invited, knocked, let in, with exactly a machine's rights, over a restart,
// and revoked.
func TestWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx) }() // waited for below
		synctest.Wait()
		i, code := h.invite("machine", "zoe")
		h.here = map[string]string{code.Public(): "10.0.0.7"}
		if time.Until(i.Until) != DefaultTTL || i.Known || h.in() != "controller controller, operator home, guest" {
			t.Errorf("%+v, in: %s", i, h.in())
		}
		guest := as{h, roles.Member{Kind: roles.Guest, Name: GuestID(code), Key: code.Public()}}
		key := aKey(t, "machine", "zoe")
		type end struct {
			w   Welcome
			err error
		}
		got := make(chan end)
		var heard []string
		go func() { // waited for below
			w, err := Knock(ctx, guest, code, key, "a Pi\n<b>", func(kind, name string) { heard = append(heard, kind+" "+name) })
			got <- end{w, err}
		}()
		time.Sleep(5 * time.Second)
		who, err := h.Pending(ctx)
		if err != nil || len(who) != 1 || who[0].Key != key.Public() || who[0].Name != "zoe" || who[0].About != "a Pi <b>" || who[0].From != "10.0.0.7" {
			t.Fatalf("%+v %v", who, err)
		}
		if h.in() != "controller controller, operator home, guest" {
			t.Errorf("has rights before anybody said so: %s", h.in())
		}
		if err := h.Accept(ctx, who[0].ID, "boss"); err != nil {
			t.Fatal(err)
		}
		e := <-got
		if e.err != nil || e.w.Kind != "machine" || e.w.Name != "zoe" || string(e.w.CA) != "the CA" || len(heard) != 1 || heard[0] != "machine zoe" {
			t.Errorf("%+v %v", e, heard)
		}
		m := h.third()
		if m.Kind != roles.Machine || m.Name != "zoe" || m.Key != key.Public() || !slices.Equal(m.Classes, h.menu) {
			t.Errorf("%+v", m)
		}
		time.Sleep(heard2) // the guest's key is of no more use
		if h.in() != "controller controller, operator home, machine zoe" {
			t.Errorf("in: %s", h.in())
		}
		h.mu.Lock()
		h.menu = h.menu[:1]
		h.mu.Unlock()
		time.Sleep(2 * lookEvery)
		if n := len(h.third().Classes); n != 1 {
			t.Errorf("%d classes of another menu", n)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.table = roles.Table{}
		h.mu.Unlock()
		h.open()
		if h.in() != "controller controller, operator home, machine zoe" {
			t.Errorf("after a restart in: %s", h.in())
		}
		if err := h.Revoke(t.Context(), "machine", "zoe", "boss"); err != nil || h.in() != "controller controller, operator home" || strings.Join(h.left, "") != "zoe by boss" {
			t.Errorf("%v, in: %s, %v", err, h.in(), h.left)
		}
		h.open()
		if h.in() != "controller controller, operator home" {
			t.Errorf("who was revoked is back after a restart: %s", h.in())
		}
	})
}

const heard2 = heard + 2*lookEvery

// TestStrangers: what somebody does with a code that he should not have, or no code.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		_, code := h.invite("machine", "zoe")
		id := GuestID(code)
		mine, other := aKey(t, "machine", "zoe").Public(), aKey(t, "machine", "zoe").Public()
		at := func(id, key string) state { return h.knock(id, knock{Key: key, About: "x"}).State }
		if s := at("nobody", mine); s != refused {
			t.Error(s)
		}
		if s := at(id, h.Own[0].Key); s != refused {
			t.Errorf("the controller's key as a machine's: %s", s)
		}
		if s := at(id, mine); s != waiting {
			t.Error(s)
		}
		if s := at(id, other); s != refused {
			t.Errorf("a second computer with the same code: %s", s)
		}
		if err := h.Accept(t.Context(), "zoe", "boss"); err != nil {
			t.Fatal(err)
		}
		if w := h.knock(id, knock{Key: other}); w.State != refused || w.CA != "" {
			t.Errorf("%+v", w)
		}
		if err := h.Accept(t.Context(), "zoe", "boss"); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("let in twice: %v", err)
		}
		_, late := h.invite("machine", "leo")
		time.Sleep(DefaultTTL + time.Second)
		if s := at(GuestID(late), other); s != refused {
			t.Errorf("a code whose time is over: %s", s)
		}
		if err := h.look(); err != nil || strings.Contains(h.in(), "guest") {
			t.Errorf("%v %s", err, h.in())
		}
		_, code = h.invite("operator", "ada")
		h.knock(GuestID(code), knock{Key: other})
		if err := h.Refuse(t.Context(), GuestID(code), "boss"); err != nil || at(GuestID(code), other) != refused {
			t.Errorf("%v", err)
		}
		if err := h.Accept(t.Context(), "ada", "boss"); !errors.Is(err, fleet.ErrNotFound) || strings.Contains(h.in(), "ada") {
			t.Errorf("let in after it was refused: %v", err)
		}
	})
}

// TestReplace: a machine's new hardware comes in by the same name, and the old key is out.
func TestReplace(t *testing.T) {
	h := newHouse(t)
	for n := range 2 {
		i, code := h.invite("machine", "zoe")
		if i.Known != (n == 1) {
			t.Errorf("%d: known %t", n, i.Known)
		}
		key := aKey(t, "machine", "zoe").Public()
		h.knock(GuestID(code), knock{Key: key})
		if err := h.Accept(t.Context(), "zoe", "boss"); err != nil {
			t.Fatal(err)
		}
		ms, _ := h.Members(t.Context())
		if len(ms) != 3 || ms[2].Key != key || ms[2].By != "boss" || !ms[0].Own {
			t.Errorf("%+v", ms)
		}
	}
}

// TestOwnSince: a machine that was let in, and that the shop's file lists since, comes in
// by the key that the shop makes and by no other.
func TestOwnSince(t *testing.T) {
	h := newHouse(t)
	_, code := h.invite("machine", "zoe")
	h.knock(GuestID(code), knock{Key: aKey(t, "machine", "zoe").Public()})
	if err := h.Accept(t.Context(), "zoe", "boss"); err != nil {
		t.Fatal(err)
	}
	p := h.Parts
	p.Own = append(p.Own, h.member(roles.Machine, "zoe"))
	d, err := Open(p, h.path)
	if err != nil {
		t.Fatal(err)
	}
	if in := h.in(); in != "controller controller, operator home, machine zoe" || h.third().Key != p.Own[2].Key {
		t.Errorf("in: %s", in)
	}
	if err := d.Revoke(t.Context(), "machine", "zoe", "boss"); !errors.Is(err, ErrOwn) || len(h.left) > 0 {
		t.Errorf("revoked: %v, left %v", err, h.left)
	}
	// Taken out of the shop's file, zoe is out: her former key is not back.
	if _, err := Open(h.Parts, h.path); err != nil {
		t.Fatal(err)
	}
	if in := h.in(); in != "controller controller, operator home" {
		t.Errorf("in again: %s", in)
	}
}

// TestBrokerSaysNo: what the broker did not take is not kept, neither here nor on disk.
func TestBrokerSaysNo(t *testing.T) {
	h := newHouse(t)
	_, code := h.invite("machine", "zoe")
	h.knock(GuestID(code), knock{Key: aKey(t, "machine", "zoe").Public()})
	h.fails = errors.New("no")
	if err := h.Accept(t.Context(), "zoe", "boss"); err == nil {
		t.Error("let in")
	}
	if ms, _ := load(h.path); len(ms) != 0 {
		t.Errorf("%+v", ms)
	}
	h.fails = nil
	if err := h.Accept(t.Context(), "zoe", "boss"); err != nil {
		t.Error(err)
	}
	h.fails = errors.New("no")
	if err := h.Revoke(t.Context(), "machine", "zoe", "boss"); err == nil || len(h.left) > 0 {
		t.Errorf("%v %v", err, h.left)
	}
	if ms, _ := load(h.path); len(ms) != 1 {
		t.Errorf("%+v", ms)
	}
}

// TestAsked: the verbs over the wire, and what is refused in words.
func TestAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx) }() // waited for below
		synctest.Wait()
		c := New(as{h, h.Own[1]})
		for _, bad := range []struct {
			kind, name string
			ttl        time.Duration
			by         string
		}{{"machine", "controller", 0, "b"}, {"machine", "Zoe!", 0, "b"}, {"admin", "zoe", 0, "b"}, {"guest", "zoe", 0, "b"}, {"machine", "zoe", time.Second, "b"}, {"machine", "zoe", 48 * time.Hour, "b"}, {"machine", "zoe", 0, ""}, {"operator", "home", 0, "b"}} {
			if i, err := c.Invite(ctx, bad.kind, bad.name, bad.ttl, bad.by); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%+v: %+v %v", bad, i, err)
			}
		}
		i, err := c.Invite(ctx, "web", "front", time.Hour, "boss")
		if err != nil {
			t.Fatal(err)
		}
		parsed, _ := keys.ParseCode(i.Code)
		code, _ := parsed.Key("guest", "front")
		h.knock(GuestID(code), knock{Key: aKey(t, "web", "front").Public()})
		who, err := c.Pending(ctx)
		if err != nil || len(who) != 1 {
			t.Fatal(who, err)
		}
		if err := c.Accept(ctx, who[0].ID, "boss"); err != nil {
			t.Error(err)
		}
		if err := c.Refuse(ctx, who[0].ID, "boss"); !errors.Is(err, fleet.ErrNotFound) {
			t.Error(err)
		}
		if ms, err := c.Members(ctx); err != nil || len(ms) != 3 {
			t.Error(ms, err)
		}
		if err := c.Revoke(ctx, "controller", "controller", "boss"); !errors.Is(err, ErrOwn) {
			t.Error(err)
		}
		if err := c.Revoke(ctx, "web", "front", "boss"); err != nil {
			t.Error(err)
		}
		if err := c.Revoke(ctx, "web", "front", "boss"); !errors.Is(err, fleet.ErrNotFound) {
			t.Error(err)
		}
		for n := range mostInvited + 1 {
			_, err = c.Invite(ctx, "machine", fmt.Sprint("m", n), 0, "boss")
		}
		if err == nil {
			t.Error("invitations without end")
		}
		h.Change = nil
		if _, err := c.Invite(ctx, "machine", "zoe", 0, "boss"); !errors.Is(err, ErrElsewhere) {
			t.Error(err)
		}
		cancel()
		<-ended
	})
}

// TestFile: a file that others may write, or that says what it may not, lets nobody in.
func TestFile(t *testing.T) {
	h := newHouse(t)
	key := aKey(t, "machine", "zoe").Public()
	good := `{"version":1,"members":[{"kind":"machine","name":"zoe","key":"` + key + `","by":"boss","about":"","since":"2026-11-30T00:00:00Z","here":false,"own":false}]}`
	good = strings.Replace(good, `"about":"",`, "", 1)
	for text, ok := range map[string]bool{
		good: true, "": false, "{}": false, `{"version":2}`: false, `{"version":1,"members":[]}`: true,
		strings.Replace(good, "zoe", "controller", 1): false,
		strings.Replace(good, "machine", "admin", 1):  false,
		strings.Replace(good, "machine", "guest", 1):  false,
		strings.Replace(good, key, key[:50], 1):       false,
		strings.Replace(good, `"by"`, `"whom"`, 1):    false,
		strings.Replace(good, `"by"`, `"kind"`, 1):    false,
		strings.Replace(good, `]}`, `]}{}`, 1):        false,
	} {
		if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(h.Parts, h.path); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := os.Chmod(h.path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(h.Parts, h.path); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Error(err)
	}
}

func FuzzKnock(f *testing.F) {
	f.Add([]byte(`{"key":"` + aKey(f, "machine", "zoe").Public() + `","about":"a Pi"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := decodeKnock(b); err == nil && (!keys.IsPublic(k.Key) || fleet.Plain(k.About) != k.About || len(k.About) > maxAbout) {
			t.Errorf("%+v", k)
		}
	})
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"version":1,"members":[{"kind":"machine","name":"zoe","key":"` + aKey(f, "machine", "zoe").Public() + `"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decode(b)
		if err != nil {
			return
		}
		for _, m := range l.Members {
			if !fleet.IsToken(m.Name) {
				t.Errorf("%+v", m)
			}
		}
	})
}

// opening is a door that is not there at first, or does not answer.
type opening struct {
	inner fleet.Requester
	fails []error
	asked int
}

func (o *opening) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	if o.asked++; o.asked <= len(o.fails) {
		return nil, o.fails[o.asked-1]
	}
	return o.inner.Request(ctx, subject, body)
}

// TestOpening: who asks a shop that only just starts waits until its door is open, and not
// for ever; what must not be done twice is not asked twice where no answer came.
func TestOpening(t *testing.T) {
	answers := answering(func(string) []byte { return []byte(`{"invitation":{"code":"x"}}`) })
	nobody := slices.Repeat([]error{fleet.ErrNobody}, 8)
	invite := func(ctx context.Context, c Client) error {
		_, err := c.Invite(ctx, "machine", "zoe", 0, "ada")
		return err
	}
	revoke := func(ctx context.Context, c Client) error { return c.Revoke(ctx, "machine", "zoe", "ada") }
	for _, tc := range []struct {
		name  string
		fails []error
		do    func(context.Context, Client) error
		want  error
		asked int
	}{
		{"opens after two seconds", nobody, invite, nil, 9},
		{"opens after two seconds, for a revocation", nobody, revoke, nil, 9},
		{"has none", slices.Repeat([]error{fleet.ErrNobody}, 1000), invite, fleet.ErrNobody, 21},
		{"no answer to an invitation", []error{fleet.ErrNoAnswer}, invite, nil, 2},
		{"no answer to a revocation", []error{fleet.ErrNoAnswer}, revoke, fleet.ErrNoAnswer, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := &opening{inner: answers, fails: tc.fails}
			if err := tc.do(t.Context(), New(o)); !errors.Is(err, tc.want) || o.asked != tc.asked {
				t.Errorf("%s: asked %d times, and %v; want %d and %v", tc.name, o.asked, err, tc.asked, tc.want)
			}
		})
	}
}

type answering func(subject string) []byte

func (a answering) Request(_ context.Context, subject string, _ []byte) ([]byte, error) {
	return a(subject), nil
}
