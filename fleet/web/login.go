package web

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"barista/fleet"
)

// Logins is who may act for the shop, and who of them is logged in.
type Logins interface {
	// Nobody reports whether there is no operator yet.
	Nobody() bool
	// Login starts a session for who has the password; from is the address of who
	// asks. It returns the session's secret, fleet.ErrLogin, or a fleet.TooManyError.
	Login(ctx context.Context, name, password, from string) (secret string, err error)
	// Redeem gives the holder of a one-time code a password, and starts a session. It
	// returns its secret, fleet.ErrCode, fleet.ErrWeak, or a fleet.TooManyError.
	Redeem(ctx context.Context, code, name, password, from string) (secret string, err error)
	// Who is logged in with a secret. It is asked for each request.
	Who(secret string) (name string, ok bool)
	Here() ([]fleet.Session, error)
	Logout(secret string)
	// LogoutEverywhere ends all sessions of a name at once.
	LogoutEverywhere(name, by string) int
}

// operatorCookie holds the secret of an operator's session.
const operatorCookie = "operator"

// thisComputer is who looks from the shop's own computer without a login. No operator
// can have that name.
const thisComputer = "this computer"

// operator is who of the shop's people asks: an operator who is logged in, or whoever
// sits at this computer, if no proxy stands between. Proxies that say nothing of
// themselves mostly speak as no browser does any more.
func (w *Web) operator(r *http.Request) (by string, ok bool) {
	if w.Logins != nil {
		if secret := w.session(r); secret != "" {
			if name, ok := w.Logins.Who(secret); ok {
				return name, true
			}
		}
	}
	if w.visitorOf(r).here && r.ProtoAtLeast(1, 1) {
		return thisComputer, true
	}
	return "", false
}

// actor is who acts for the shop. Where operators have logins, nobody acts without: any
// program of this computer can ask for a page.
func (w *Web) actor(r *http.Request) (by string, ok bool) {
	by, ok = w.operator(r)
	return by, ok && (w.Logins == nil || by != thisComputer)
}

// session is the secret that a request brings along.
func (w *Web) session(r *http.Request) string {
	c, err := r.Cookie(w.cookieName(r, operatorCookie))
	if err != nil {
		return ""
	}
	return c.Value
}

// keepSession gives the browser a session's secret, or with an empty one takes it away. It
// goes with the browser, and is sent with nothing that comes from another site.
func (w *Web) keepSession(rw http.ResponseWriter, r *http.Request, secret string) {
	c := &http.Cookie{Name: w.cookieName(r, operatorCookie), Value: secret, Path: "/",
		HttpOnly: true, Secure: w.visitorOf(r).secure, SameSite: http.SameSiteStrictMode}
	if secret == "" {
		c.MaxAge = -1
	}
	http.SetCookie(rw, c)
}

// operatorsOnly is around pages that are not for customers. A page sends to the login;
// a live part ends when its reader is no operator any more.
func (w *Web) operatorsOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		_, ok := w.operator(r)
		switch {
		case ok && staying(r):
			ctx, leave := w.whileOperator(r)
			defer leave()
			next(rw, r.WithContext(ctx))
		case ok:
			next(rw, r)
		case w.Logins != nil && !staying(r) && r.Method == http.MethodGet:
			w.toLogin(rw, r)
		default:
			w.sorry(rw, r, http.StatusForbidden, "operators.title", "operators.text")
		}
	}
}

// recheck is how soon a live part notices that its reader was logged out.
const recheck = time.Second

// whileOperator is a context that ends when who asks is no operator any more. leave
// must be called, and waits.
func (w *Web) whileOperator(r *http.Request) (ctx context.Context, leave func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(recheck)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, ok := w.operator(r); !ok {
				cancel()
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// The pages to which a login leads.
var afterLogin = []string{"/operators", "/fleet", stockPath, labelsPath, historyPath}

// afterwards is where a login leads that somebody asked for: one of those pages, or the
// refill of an item; else the first of them.
func afterwards(to string) string {
	if item, ok := strings.CutPrefix(to, refillPath("")); ok && fleet.IsToken(item) || slices.Contains(afterLogin, to) {
		return to
	}
	return afterLogin[0]
}

func (w *Web) toLogin(rw http.ResponseWriter, r *http.Request) {
	to, login := r.URL.Path, "/login"
	if item := r.URL.Query().Get("item"); to == stockPath && item != "" {
		to = refillPath(item)
	}
	if to = afterwards(to); to != afterLogin[0] {
		login += "?to=" + url.QueryEscape(to)
	}
	http.Redirect(rw, r, login, http.StatusSeeOther)
}

// loginBody is what the page of the login shows.
type loginBody struct {
	To     string
	Name   string // as it was typed, if it can be a name
	Error  string // in the form above
	Wrong  string // in the form of the code
	First  bool   // nobody is an operator yet
	Coding bool   // the form of the code is open
}

// loginPage shows both ways in: by a password, and by a code to choose one.
func (w *Web) loginPage(rw http.ResponseWriter, r *http.Request) {
	if w.Logins != nil {
		if _, ok := w.Logins.Who(w.session(r)); ok {
			http.Redirect(rw, r, afterLogin[0], http.StatusSeeOther)
			return
		}
	}
	if w.mayLogin(rw, r) {
		w.showLogin(rw, r, http.StatusOK, loginBody{To: r.URL.Query().Get("to")})
	}
}

// mayLogin answers for a request that may not even show the form: no password goes
// over the network in the clear.
func (w *Web) mayLogin(rw http.ResponseWriter, r *http.Request) bool {
	v := w.visitorOf(r)
	switch {
	case w.Logins == nil:
		w.sorry(rw, r, http.StatusNotFound, "operators.title", "login.none")
	case !v.secure && !v.here:
		w.sorry(rw, r, http.StatusForbidden, "operators.title", "login.plain")
	default:
		return true
	}
	return false
}

func (w *Web) showLogin(rw http.ResponseWriter, r *http.Request, status int, b loginBody) {
	b.To = afterwards(b.To)
	if !fleet.IsToken(b.Name) {
		b.Name = "" // perhaps a password in the wrong field
	}
	b.First = w.Logins.Nobody()
	b.Coding = b.First || b.Wrong != ""
	w.show(rw, r, status, view{Page: "login", Self: "/login", Title: w.pages[lang(r)].say("login.title"), Body: b})
}

// posted is the form that was sent; if it is none, the answer was given.
func (w *Web) posted(rw http.ResponseWriter, r *http.Request) (f url.Values, ok bool) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || kind != "application/x-www-form-urlencoded":
		w.sorry(rw, r, http.StatusUnsupportedMediaType, "kind.title", "kind.text")
		return nil, false
	case r.ParseForm() == nil:
		return r.PostForm, true
	}
	w.sorry(rw, r, http.StatusBadRequest, "kind.title", "kind.text")
	return nil, false
}

func (w *Web) login(rw http.ResponseWriter, r *http.Request) {
	if !w.mayLogin(rw, r) {
		return
	}
	f, ok := w.posted(rw, r)
	if !ok {
		return
	}
	b := loginBody{To: f.Get("to"), Name: f.Get("name")}
	secret, err := w.Logins.Login(r.Context(), b.Name, f.Get("password"), w.address(r))
	if err != nil {
		status, text := w.notIn(rw, r, err)
		b.Error = text
		w.showLogin(rw, r, status, b)
		return
	}
	w.letIn(rw, r, secret, b.To)
}

// redeem takes a one-time code and the password that its holder chose.
func (w *Web) redeem(rw http.ResponseWriter, r *http.Request) {
	if !w.mayLogin(rw, r) {
		return
	}
	f, ok := w.posted(rw, r)
	if !ok {
		return
	}
	p := w.pages[lang(r)]
	b := loginBody{To: f.Get("to"), Name: f.Get("name")}
	no := func(status int, text string) {
		b.Wrong = text
		w.showLogin(rw, r, status, b)
	}
	switch {
	case !fleet.IsToken(b.Name):
		no(http.StatusUnprocessableEntity, p.say("login.noname"))
		return
	case f.Get("password") != f.Get("again"):
		no(http.StatusUnprocessableEntity, p.say("login.again.wrong"))
		return
	}
	secret, err := w.Logins.Redeem(r.Context(), f.Get("code"), b.Name, f.Get("password"), w.address(r))
	if err != nil {
		no(w.notIn(rw, r, err))
		return
	}
	w.letIn(rw, r, secret, b.To)
}

// address is where a request came from, as the log and the operators see it.
func (w *Web) address(r *http.Request) string {
	if net := w.visitorOf(r).net; net.IsValid() {
		return net.Addr().String()
	}
	return ""
}

// letIn goes on with a session that just began. The one that the browser had is over.
func (w *Web) letIn(rw http.ResponseWriter, r *http.Request, secret, to string) {
	if old := w.session(r); old != "" {
		w.Logins.Logout(old)
	}
	w.keepSession(rw, r, secret)
	http.Redirect(rw, r, afterwards(to), http.StatusSeeOther)
}

// notIn is why somebody was not let in.
func (w *Web) notIn(rw http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	p := w.pages[lang(r)]
	tooMany := new(fleet.TooManyError)
	switch {
	case errors.Is(err, fleet.ErrLogin):
		return http.StatusForbidden, p.say("login.wrong")
	case errors.Is(err, fleet.ErrCode):
		return http.StatusForbidden, p.say("login.code.wrong")
	case errors.Is(err, fleet.ErrWeak):
		return http.StatusUnprocessableEntity, p.say("login.weak")
	case errors.As(err, &tooMany):
		s := int((tooMany.Wait + time.Second - 1) / time.Second)
		rw.Header().Set("Retry-After", strconv.Itoa(s))
		return http.StatusTooManyRequests, p.say("login.wait", s)
	case r.Context().Err() != nil:
		return http.StatusServiceUnavailable, p.say("login.broken")
	}
	w.Log.Error("web: nobody can log in", "error", err)
	return http.StatusServiceUnavailable, p.say("login.broken")
}

// logout ends the session of this browser.
func (w *Web) logout(rw http.ResponseWriter, r *http.Request) {
	if secret := w.session(r); w.Logins != nil && secret != "" {
		w.Logins.Logout(secret)
	}
	w.keepSession(rw, r, "")
	http.Redirect(rw, r, "/", http.StatusSeeOther)
}
