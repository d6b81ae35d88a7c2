package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"barista/fleet"
)

// Door is where computers and people become members of the shop, and leave it. By is
// the operator who decides.
type Door interface {
	// Pending is who asks to come in.
	Pending(ctx context.Context) ([]fleet.Applicant, error)
	// Accept and Refuse answer an application: fleet.ErrNotFound if it is there no more.
	Accept(ctx context.Context, id, by string) error
	Refuse(ctx context.Context, id, by string) error
	Members(ctx context.Context) ([]fleet.Member, error)
	// Revoke takes a member's key away at once.
	Revoke(ctx context.Context, kind, name, by string) error
}

// doorTime bounds a question to the door. The broker is told before it answers.
const doorTime = 10 * time.Second

// operatorsBody is what the page of the operators shows.
type operatorsBody struct {
	By      string // who looks; empty: whoever sits at this computer
	Logins  bool   // there are logins
	May     bool   // who looks may act
	Done    string // what was just done, in words
	Trouble string // why it was not
	Door    bool
	Asking  []applicant
	Members []member
	Closed  bool // the door does not answer
	People  []person
	Unknown bool // nobody can say who is logged in
}

type applicant struct {
	fleet.Applicant
	Kind string // in the page's language
	Key  []string
	Ago  string
}

type member struct {
	fleet.Member
	Word string // its kind, in the page's language
	Ago  string
}

// person is an operator who is logged in, in one browser or more.
type person struct {
	Name string
	You  bool
	At   []browserAt
}

type browserAt struct{ From, Ago string }

// operatorsPage is where operators see each other, and who is at the door.
func (w *Web) operatorsPage(rw http.ResponseWriter, r *http.Request) {
	done := r.URL.Query().Get("done")
	w.showOperators(rw, r, http.StatusOK, done, "")
}

func (w *Web) showOperators(rw http.ResponseWriter, r *http.Request, status int, done, trouble string) {
	p := w.pages[lang(r)]
	by, _ := w.operator(r)
	_, may := w.actor(r)
	b := operatorsBody{Logins: w.Logins != nil, May: may, Door: w.Door != nil}
	if by != thisComputer {
		b.By = by
	}
	b.Done, _ = p.known("done", done)
	if trouble != "" {
		b.Trouble = p.say(trouble)
	}
	if w.Logins != nil {
		here, err := w.Logins.Here()
		b.Unknown = err != nil
		for _, s := range here {
			if n := len(b.People); n == 0 || b.People[n-1].Name != s.Name {
				b.People = append(b.People, person{Name: s.Name, You: s.Name == b.By})
			}
			one := &b.People[len(b.People)-1]
			one.At = append(one.At, browserAt{s.From, p.ago(w.Wall().Sub(s.Since))})
		}
	}
	if w.Door != nil {
		w.lookAtDoor(r.Context(), p, &b)
	}
	w.show(rw, r, status, view{Page: "operators", Self: "/operators", Title: p.say("ops.title"), Body: b})
}

func (w *Web) lookAtDoor(ctx context.Context, p *pages, b *operatorsBody) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	asking, err := w.Door.Pending(ctx)
	var members []fleet.Member
	if err == nil {
		members, err = w.Door.Members(ctx)
	}
	if err != nil {
		b.Closed = true
		w.Log.Warn("web: the door does not answer", "error", err)
		return
	}
	for _, a := range asking {
		b.Asking = append(b.Asking, applicant{a, p.name("member", a.Kind), groups(a.Key), p.ago(w.Wall().Sub(a.Asked))})
	}
	for _, m := range members {
		one := member{m, p.name("member", m.Kind), ""}
		if !m.Since.IsZero() {
			one.Ago = p.ago(w.Wall().Sub(m.Since))
		}
		b.Members = append(b.Members, one)
	}
}

// groups cuts a key into pieces that two people can read to each other.
func groups(key string) []string {
	var out []string
	for piece := range slices.Chunk([]byte(key), 4) {
		out = append(out, string(piece))
	}
	return out
}

// ago says how long something is past.
func (w catalogue) ago(d time.Duration) string {
	switch {
	case d < time.Minute: // in the future, too: clocks differ
		return w.say("ago.now")
	case d < time.Hour:
		return w.say("ago.minutes", int(d/time.Minute))
	case d < 48*time.Hour:
		return w.say("ago.hours", int(d/time.Hour))
	}
	return w.say("ago.days", int(d/(24*time.Hour)))
}

// act is around what operators do: who does it is known, and stands in the log.
func (w *Web) act(what string, do func(ctx context.Context, f pressed, by string) error) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		by, f, ok := w.acting(rw, r)
		if !ok {
			return
		}
		one := pressed{f.Get("id"), f.Get("kind"), f.Get("name")}
		for _, word := range []string{one.ID, one.Kind, one.Name} {
			if word != "" && !fleet.IsToken(word) {
				w.sorry(rw, r, http.StatusBadRequest, "kind.title", "kind.text")
				return
			}
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), doorTime)
		defer cancel()
		err := do(ctx, one, by)
		log := w.Log.With("act", what, "by", by, "id", one.ID, "kind", one.Kind, "name", one.Name)
		switch {
		case err == nil:
			log.Info("an operator has acted")
			http.Redirect(rw, r, "/operators?done="+what, http.StatusSeeOther)
		case errors.Is(err, fleet.ErrNotFound):
			w.showOperators(rw, r, http.StatusNotFound, "", "ops.gone")
		default:
			log.Warn("what an operator asked for was not done", "error", err)
			w.showOperators(rw, r, http.StatusServiceUnavailable, "", "ops.failed")
		}
	}
}

// pressed is what an operator's button sends: tokens, or nothing.
type pressed struct{ ID, Kind, Name string }

// operatorRoutes are the addresses for operators.
func (w *Web) operatorRoutes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"GET /login":       w.loginPage,
		"POST /login":      w.login,
		"POST /login/code": w.redeem,
		"POST /logout":     w.logout,
		"GET /operators":   w.operatorsOnly(w.operatorsPage),
	}
	if w.Logins != nil {
		routes["POST /operators/everywhere"] = w.act("everywhere", func(_ context.Context, f pressed, by string) error {
			w.Logins.LogoutEverywhere(f.Name, by)
			return nil
		})
	}
	if w.Door != nil {
		routes["POST /operators/accept"] = w.act("accepted", func(ctx context.Context, f pressed, by string) error { return w.Door.Accept(ctx, f.ID, by) })
		routes["POST /operators/refuse"] = w.act("refused", func(ctx context.Context, f pressed, by string) error { return w.Door.Refuse(ctx, f.ID, by) })
		routes["POST /operators/revoke"] = w.act("revoked", func(ctx context.Context, f pressed, by string) error { return w.Door.Revoke(ctx, f.Kind, f.Name, by) })
	}
	return routes
}
