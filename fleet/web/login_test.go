package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
	"barista/fleet/operators"
)

const (
	bossName     = "boss"
	bossPassword = "planted-herons-0815"
)

// staffed is a house with logins, whose passwords cost nearly nothing. Its store is
// the real one.
func staffed(t testing.TB) (*house, *operators.Store) {
	h := build(t)
	store := operators.NewStore(t.TempDir(), func() (string, time.Duration) { return "b", time.Hour })
	h.web.Logins = operators.New(store, operators.Config{Log: slog.New(slog.NewTextHandler(&guarded{w: h.log}, nil)), Memory: 64, Rounds: 1})
	h.web.handler = h.web.routes()
	return h, store
}

// hired is a staffed house with an operator; it returns the secret of a session.
func hired(t testing.TB) (h *house, store *operators.Store, secret string) {
	t.Helper()
	h, store = staffed(t)
	return h, store, hire(t, h, store, bossName)
}

func hire(t testing.TB, h *house, store *operators.Store, name string) (secret string) {
	t.Helper()
	code, err := store.Invite(name)
	if err == nil {
		secret, err = h.web.Logins.Redeem(t.Context(), code, name, bossPassword, "192.0.2.1")
	}
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func overTLS(r *http.Request) { r.TLS = &tls.ConnectionState{} }

func fromAfar(r *http.Request) { r.RemoteAddr = "192.0.2.7:40000" }

func with(cookies ...*http.Cookie) func(*http.Request) {
	return func(r *http.Request) {
		for _, c := range cookies {
			r.AddCookie(c)
		}
	}
}

func session(name, secret string) func(*http.Request) {
	return with(&http.Cookie{Name: name, Value: secret})
}

// cookie is the one that an answer sets, or nil.
func cookie(res *http.Response) *http.Cookie {
	i := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return strings.HasSuffix(c.Name, operatorCookie) })
	if i < 0 {
		return nil
	}
	return res.Cookies()[i]
}

func form(pairs ...string) string {
	f := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f.Encode()
}

func leadsTo(t testing.TB, res *http.Response, where string) {
	t.Helper()
	status(t, res, http.StatusSeeOther)
	if got := res.Header.Get("Location"); got != where {
		t.Errorf("it leads to %s, want %s", got, where)
	}
}

// The cookie is bound as tightly as the way allows.
func TestLoginGivesACookie(t *testing.T) {
	h, _, _ := hired(t)
	right := form("name", bossName, "password", bossPassword)
	for _, tt := range []struct {
		what, name string
		secure     bool
		change     []func(*http.Request)
	}{
		{"over TLS", "__Host-operator", true, []func(*http.Request){overTLS, fromAfar}},
		{"in the clear at this computer", "operator", false, nil},
		{"behind a proxy with TLS", "__Host-operator", true, []func(*http.Request){header("X-Forwarded-Proto", "https"), header("X-Forwarded-For", "198.51.100.9")}},
	} {
		h.web.Proxies = nil
		if strings.Contains(tt.what, "proxy") {
			h.web.Proxies = prefixes("127.0.0.1/32")
		}
		res := h.ask("POST", "/login", right, tt.change...)
		leadsTo(t, res, "/operators")
		c := cookie(res)
		if c == nil || c.Name != tt.name || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 || len(c.Value) < 43 {
			t.Errorf("%s: the cookie is %v", tt.what, c)
			continue
		}
		page := text(t, h.ask("GET", "/operators", "", append(tt.change, with(c))...))
		contains(t, page, "You are logged in as boss", "Log out everywhere")
		// Under the other name it is worth nothing.
		other := "operator"
		if !tt.secure {
			other = "__Host-operator"
		}
		res = h.ask("GET", "/operators", "", append(tt.change, session(other, c.Value))...)
		lacks(t, text(t, res), "logged in as")
	}
}

// No password goes over the house's network in the clear, and none is asked for.
func TestNobodyLogsInInTheClear(t *testing.T) {
	h, _, secret := hired(t)
	for what, change := range map[string]func(*http.Request){"from afar": fromAfar, "by a proxy that nobody named": header("X-Forwarded-Proto", "https")} {
		for _, target := range []string{"GET /login", "POST /login", "POST /login/code"} {
			method, path, _ := strings.Cut(target, " ")
			body := ""
			if method == "POST" {
				body = form("name", bossName, "password", bossPassword)
			}
			res := h.ask(method, path, body, change)
			if res.StatusCode != http.StatusForbidden || cookie(res) != nil {
				t.Errorf("%s, %s: %d, cookie %v", target, what, res.StatusCode, cookie(res))
			}
			page := text(t, res)
			contains(t, page, "without encryption")
			lacks(t, page, `type="password"`)
		}
	}
	leadsTo(t, h.ask("GET", "/fleet", "", fromAfar, overTLS), "/login?to=%2Ffleet")
	leadsTo(t, h.ask("GET", "/operators", "", fromAfar, overTLS), "/login")
	status(t, h.ask("GET", "/fleet", "", fromAfar, overTLS, session("__Host-operator", secret)), http.StatusOK)
	status(t, h.ask("GET", "/fleet", ""), http.StatusOK) // at this computer
	leadsTo(t, h.ask("GET", "/fleet", "", func(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.0", 1, 0 }), "/login?to=%2Ffleet")
}

func TestLoginRefuses(t *testing.T) {
	h, _, _ := hired(t)
	for _, tt := range []struct {
		path, body string
		status     int
		say        string
	}{
		{"/login", form("name", bossName, "password", "wrong"), 403, "No operator has this name with this password."},
		{"/login", form("name", "nobody", "password", bossPassword), 403, "No operator has this name with this password."},
		{"/login", form("name", bossPassword+"<b>", "password", "x"), 403, "No operator has this name with this password."},
		{"/login/code", form("name", bossName, "code", "AAAA-BBBB-CCCC", "password", bossPassword, "again", bossPassword), 403, "This code is not good"},
		{"/login/code", form("name", "Zoë", "code", "x", "password", bossPassword, "again", bossPassword), 422, "A name is 1 to 32"},
		{"/login/code", form("name", bossName, "code", "x", "password", bossPassword, "again", "y"), 422, "not the same"},
	} {
		res := h.ask("POST", tt.path, tt.body)
		if c := cookie(res); res.StatusCode != tt.status || c != nil {
			t.Errorf("%s: %d, %v", tt.body, res.StatusCode, c)
		}
		page := text(t, res)
		contains(t, page, tt.say)
		lacks(t, page, bossPassword) // nothing typed comes back, but a name
	}
	res := h.ask("POST", "/login", form("name", bossName, "password", bossPassword), header("Content-Type", "text/plain"))
	status(t, res, http.StatusUnsupportedMediaType)
	res = h.ask("POST", "/login", form("name", bossName, "password", bossPassword), header("Sec-Fetch-Site", "cross-site"))
	if res.StatusCode != http.StatusForbidden || cookie(res) != nil {
		t.Errorf("from another site: %d", res.StatusCode)
	}
	// Where it leads is ours to say.
	for _, to := range []string{"https://evil.example", "//evil.example", "/orders/x", `/fleet"><b>`, "/stock?item=//evil", "/stock?item=arabica&done=evil", "/stock?item=", "/stock?done=evil"} {
		leadsTo(t, h.ask("POST", "/login", form("name", bossName, "password", bossPassword, "to", to)), "/operators")
		lacks(t, text(t, h.ask("GET", "/login?to="+url.QueryEscape(to), "")), to, "evil")
	}
	leadsTo(t, h.ask("POST", "/login", form("name", bossName, "password", bossPassword, "to", "/fleet")), "/fleet")
	// The code at a hopper: to the login, and from there to the refill.
	leadsTo(t, h.ask("GET", "/stock?item=arabica", ""), "/login?to=%2Fstock%3Fitem%3Darabica")
	contains(t, text(t, h.ask("GET", "/login?to=%2Fstock%3Fitem%3Darabica", "")), `value="/stock?item=arabica"`)
	leadsTo(t, h.ask("POST", "/login", form("name", bossName, "password", bossPassword, "to", "/stock?item=arabica")), "/stock?item=arabica")
	leadsTo(t, h.ask("GET", "/stock?item=a.b", "", fromAfar, overTLS), "/login")
}

// A weak password is told, and does not use up the code; the code works once.
func TestFirstRunCode(t *testing.T) {
	h, store := staffed(t)
	code, err := store.First()
	if err != nil {
		t.Fatal(err)
	}
	page := text(t, h.ask("GET", "/login", ""))
	contains(t, page, "The first operator", `id="code"`)
	lacks(t, page, `id="login"`)
	lacks(t, page, code)
	give := func(name, password string) *http.Response {
		return h.ask("POST", "/login/code", form("name", name, "code", strings.ToLower(code), "password", password, "again", password))
	}
	res := give("zoe", "short")
	status(t, res, http.StatusUnprocessableEntity)
	contains(t, text(t, res), "at least 10 characters")
	res = give("zoe", bossPassword)
	leadsTo(t, res, "/operators")
	contains(t, text(t, h.ask("GET", "/operators", "", with(cookie(res)))), "logged in as zoe")
	for _, name := range []string{"zoe", "max"} {
		res = give(name, bossPassword)
		if res.StatusCode != http.StatusForbidden || cookie(res) != nil {
			t.Errorf("the code again, for %s: %d", name, res.StatusCode)
		}
	}
	contains(t, text(t, h.ask("GET", "/login", "")), `id="login"`, "I have a one-time code")
}

// A session that somebody planted in the browser is not made good by a login.
func TestFixation(t *testing.T) {
	h, store, _ := hired(t)
	const planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	theirs := hire(t, h, store, "mallory") // even one that is good, of somebody else
	for _, brought := range []string{planted, theirs} {
		res := h.ask("POST", "/login", form("name", bossName, "password", bossPassword), session("operator", brought))
		c := cookie(res)
		if c == nil || c.Value == brought {
			t.Fatalf("the session is the one that was planted: %v", c)
		}
		if name, ok := h.web.Logins.Who(brought); ok {
			t.Errorf("the planted one lets %s in", name)
		}
		if name, ok := h.web.Logins.Who(c.Value); !ok || name != bossName {
			t.Errorf("the new one is %q's", name)
		}
	}
}

func TestGuessesAreTurnedAway(t *testing.T) {
	h, _, _ := hired(t)
	refused := 0
	var last *http.Response
	for i := range 30 {
		last = h.ask("POST", "/login", form("name", bossName, "password", fmt.Sprint("guess number ", i)), fromAfar, overTLS)
		if last.StatusCode == http.StatusTooManyRequests {
			refused++
		} else {
			status(t, last, http.StatusForbidden)
		}
	}
	if refused < 20 || last.Header.Get("Retry-After") == "" {
		t.Errorf("%d of 30 guesses were turned away, the last with Retry-After %q", refused, last.Header.Get("Retry-After"))
	}
	contains(t, text(t, last), "tried too often", "new code")
	// The right password is not found by it, and other people get in.
	status(t, h.ask("POST", "/login", form("name", bossName, "password", bossPassword), fromAfar, overTLS), http.StatusTooManyRequests)
	leadsTo(t, h.ask("POST", "/login", form("name", bossName, "password", bossPassword), overTLS, func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }), "/operators")
}

func TestLogout(t *testing.T) {
	h, _, secret := hired(t)
	mine := session("operator", secret)
	res := h.ask("GET", "/logout", "", mine)
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET /logout: %d", res.StatusCode)
	}
	contains(t, text(t, h.ask("GET", "/operators", "", mine)), "logged in as boss")
	res = h.ask("POST", "/logout", "", mine)
	leadsTo(t, res, "/")
	if c := cookie(res); c == nil || c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("the browser keeps %v", c)
	}
	lacks(t, text(t, h.ask("GET", "/operators", "", mine)), "logged in as")
}

func TestSessionsLastEightHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, secret := hired(t)
		at := func() int {
			return h.ask("GET", "/operators", "", session("__Host-operator", secret), fromAfar, overTLS).StatusCode
		}
		time.Sleep(8*time.Hour - time.Minute)
		if got := at(); got != http.StatusOK {
			t.Errorf("before eight hours: %d", got)
		}
		time.Sleep(time.Minute)
		if got := at(); got != http.StatusSeeOther {
			t.Errorf("after eight hours: %d", got)
		}
	})
}

// What an operator looks at ends with the login, everywhere.
func TestLivePageEndsWithTheLogin(t *testing.T) {
	h, _, secret := hired(t)
	h.run()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	base := h.listening()
	req, err := http.NewRequestWithContext(ctx, "GET", base+"/fleet/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	h.web.Proxies = prefixes("127.0.0.1/32") // so that this computer is not enough
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	req.AddCookie(&http.Cookie{Name: "operator", Value: secret})
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	defer res.Body.Close()
	status(t, res, http.StatusOK)
	events := newReader(t, res.Body)
	events.until("fleet")
	h.web.Logins.LogoutEverywhere(bossName, "a test")
	for {
		if _, more := events.next(); !more {
			break
		}
	}
	if ctx.Err() != nil {
		t.Error("the events went on after the logout")
	}
}

// doorman is a door in memory.
type doorman struct {
	mu      sync.Mutex
	asking  []fleet.Applicant
	members []fleet.Member
	did     []string
	err     error
}

func (d *doorman) Pending(context.Context) ([]fleet.Applicant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asking), d.err
}

func (d *doorman) Members(context.Context) ([]fleet.Member, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.members), d.err
}

func (d *doorman) do(what, id, by string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	before := len(d.asking) + len(d.members)
	d.asking = slices.DeleteFunc(d.asking, func(a fleet.Applicant) bool { return a.ID == id })
	d.members = slices.DeleteFunc(d.members, func(m fleet.Member) bool { return m.Kind+" "+m.Name == id })
	if len(d.asking)+len(d.members) == before {
		return fleet.ErrNotFound
	}
	d.did = append(d.did, what+" "+id+" by "+by)
	return nil
}

func (d *doorman) Accept(_ context.Context, id, by string) error { return d.do("accept", id, by) }
func (d *doorman) Refuse(_ context.Context, id, by string) error { return d.do("refuse", id, by) }
func (d *doorman) Revoke(_ context.Context, kind, name, by string) error {
	return d.do("revoke", kind+" "+name, by)
}

// doored is a house with operators and a door at which some wait.
func doored(t testing.TB) (*house, *operators.Store, *doorman, string) {
	h, store, secret := hired(t)
	d := &doorman{
		asking: []fleet.Applicant{
			{ID: "a1", Kind: "machine", Name: "zoe", Key: "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", From: "192.0.2.40", About: "Raspberry Pi 5, host zoe<b>", Asked: time.Now().Add(-3 * time.Minute)},
			{ID: "a2", Kind: "operator", Name: "max", Key: "UAXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", From: "192.0.2.41", Asked: time.Now()},
		},
		members: []fleet.Member{
			{Kind: "controller", Name: "shop", Own: true, Here: true},
			{Kind: "machine", Name: "leo", By: "boss", Since: time.Now().Add(-50 * time.Hour), Here: true},
		},
	}
	h.web.Door = d
	h.web.handler = h.web.routes()
	return h, store, d, secret
}

func TestDoor(t *testing.T) {
	h, _, d, secret := doored(t)
	mine := session("operator", secret)
	page := text(t, h.ask("GET", "/operators", "", mine))
	contains(t, page, "zoe", "Raspberry Pi 5, host zoe&lt;b&gt;", "from 192.0.2.40, 3 min ago", "<span>UDXU</span>", "Accept", "Refuse", "accepted 2 days ago by boss", "Revoke the key of leo", "connected")
	lacks(t, page, "zoe<b>", "Revoke the key of shop")
	for _, tt := range []struct {
		path, body, leads string
	}{
		{"/operators/accept", form("id", "a1"), "/operators?done=accepted"},
		{"/operators/refuse", form("id", "a2"), "/operators?done=refused"},
		{"/operators/revoke", form("kind", "machine", "name", "leo"), "/operators?done=revoked"},
	} {
		leadsTo(t, h.ask("POST", tt.path, tt.body, mine), tt.leads)
	}
	if want := []string{"accept a1 by boss", "refuse a2 by boss", "revoke machine leo by boss"}; !slices.Equal(d.did, want) {
		t.Errorf("the door did %q", d.did)
	}
	contains(t, h.log.String(), "act=accepted by=boss id=a1", "act=revoked by=boss", "name=leo")
	contains(t, text(t, h.ask("GET", "/operators?done=accepted", "", mine)), "It may come in now")
	lacks(t, text(t, h.ask("GET", "/operators?done=done<b>", "", mine)), "done<b>")

	res := h.ask("POST", "/operators/accept", form("id", "a1"), mine)
	status(t, res, http.StatusNotFound)
	contains(t, text(t, res), "Somebody was faster")
	status(t, h.ask("POST", "/operators/accept", form("id", "../a1"), mine), http.StatusBadRequest)
	d.err = errors.New("no broker")
	res = h.ask("POST", "/operators/accept", form("id", "a1"), mine)
	status(t, res, http.StatusServiceUnavailable)
	contains(t, text(t, res), "It was not done, or nobody knows")
	contains(t, text(t, h.ask("GET", "/operators", "", mine)), "The door does not answer")
}

// Only who is logged in acts, and only by a form of ours.
func TestOnlyOperatorsAct(t *testing.T) {
	h, _, d, secret := doored(t)
	mine := session("operator", secret)
	for what, change := range map[string][]func(*http.Request){
		"at this computer, without a login": nil,
		"from afar":                         {fromAfar},
		"from afar over TLS":                {fromAfar, overTLS},
		"with a session that never was":     {session("operator", "AAAA")},
		"from another site":                 {mine, header("Sec-Fetch-Site", "cross-site")},
		"from a neighbour":                  {mine, header("Sec-Fetch-Site", "same-site")},
		"from another origin":               {mine, header("Origin", "http://evil.example")},
		"no form":                           {mine, header("Content-Type", "application/json")},
	} {
		for _, path := range []string{"/operators/accept", "/operators/refuse", "/operators/revoke", "/operators/everywhere"} {
			res := h.ask("POST", path, form("id", "a1", "kind", "machine", "name", "leo"), change...)
			if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnsupportedMediaType {
				t.Errorf("%s %s: %d", path, what, res.StatusCode)
			}
		}
	}
	for _, path := range []string{"/operators/accept", "/operators/everywhere", "/login/code", "/logout"} {
		status(t, h.ask("GET", path+"?id=a1&name=boss", "", mine), http.StatusMethodNotAllowed)
	}
	if len(d.did) > 0 {
		t.Errorf("the door did %q", d.did)
	}
	page := text(t, h.ask("GET", "/operators", ""))
	contains(t, page, "zoe", "Please log in to change something")
	lacks(t, page, "/operators/accept", "/operators/revoke", "/operators/everywhere")
}

// A shop without logins, the demo's: this computer acts, nobody else sees anything.
func TestWithoutLogins(t *testing.T) {
	h := build(t)
	d := &doorman{asking: []fleet.Applicant{{ID: "a1", Kind: "machine", Name: "zoe"}}}
	h.web.Door = d
	h.web.handler = h.web.routes()
	contains(t, text(t, h.ask("GET", "/operators", "")), "shop&#39;s own computer", "/operators/accept")
	leadsTo(t, h.ask("POST", "/operators/accept", form("id", "a1")), "/operators?done=accepted")
	if len(d.did) != 1 || d.did[0] != "accept a1 by this computer" {
		t.Errorf("the door did %q", d.did)
	}
	status(t, h.ask("GET", "/login", ""), http.StatusNotFound)
	status(t, h.ask("POST", "/login", form("name", "x")), http.StatusNotFound)
	status(t, h.ask("GET", "/operators", "", fromAfar), http.StatusForbidden)
	status(t, h.ask("POST", "/operators/accept", form("id", "a1"), fromAfar), http.StatusForbidden)
	h.web.Door = nil
	h.web.handler = h.web.routes()
	lacks(t, text(t, h.ask("GET", "/operators", "")), "At the door")
}

func TestNothingTypedIsLogged(t *testing.T) {
	h, store, secret := hired(t)
	code, err := store.Renew(bossName)
	if err != nil {
		t.Fatal(err)
	}
	h.ask("POST", "/login", form("name", bossPassword, "password", bossPassword))
	h.ask("POST", "/login", form("name", bossName, "password", bossPassword+"x"))
	h.ask("POST", "/login?password="+bossPassword, form("name", bossName, "password", bossPassword))
	h.ask("POST", "/login/code", form("name", bossName, "code", bossPassword, "password", bossPassword, "again", bossPassword))
	h.ask("POST", "/login/code", form("name", bossName, "code", code, "password", bossPassword, "again", bossPassword))
	log := h.log.String()
	contains(t, log, "a login as operator failed", "logged in")
	lacks(t, log, bossPassword, secret, code)
}
