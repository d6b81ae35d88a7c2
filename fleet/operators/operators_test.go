package operators

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
	"go.uber.org/goleak"

	"barista/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password = "seven green herons"
	desk     = "192.0.2.1"
	stranger = "198.51.100.7"
)

var cheap = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// clock is the time since a boot that tests set.
type clock struct {
	boot string
	up   time.Duration
}

func (c *clock) now() (string, time.Duration) { return c.boot, c.up }

// house is operators with a store of their own.
type house struct {
	*Operators
	clock *clock
	log   *bytes.Buffer
}

func open(t *testing.T) *house {
	h := &house{clock: &clock{"b", time.Hour}, log: &bytes.Buffer{}}
	h.Operators = New(NewStore(t.TempDir(), h.clock.now), Config{Log: slog.New(slog.NewTextHandler(h.log, nil)), Memory: cheap.Memory, Rounds: cheap.Iterations})
	return h
}

// with is a house with an operator.
func with(t *testing.T, name string) *house {
	t.Helper()
	h := open(t)
	if _, err := h.Redeem(t.Context(), must(t)(h.store.Invite(name)), name, password, desk); err != nil {
		t.Fatal(err)
	}
	return h
}

func must(t *testing.T) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func (h *house) in(t *testing.T, secret, name string) {
	t.Helper()
	if who, ok := h.Who(secret); !ok || who != name {
		t.Errorf("the session is %q's (%v), want %s's", who, ok, name)
	}
}

func (h *house) out(t *testing.T, secret string) {
	t.Helper()
	if who, ok := h.Who(secret); ok {
		t.Errorf("the session still lets %s in", who)
	}
}

func TestFirstOperatorByCodeOnce(t *testing.T) {
	h := open(t)
	if !h.Nobody() {
		t.Error("an empty store has operators")
	}
	old := must(t)(h.store.First())
	code := must(t)(h.store.First())
	if _, err := h.Redeem(t.Context(), old, "zoe", password, desk); !errors.Is(err, fleet.ErrCode) {
		t.Errorf("the code of an earlier start: %v", err)
	}
	if _, err := h.Redeem(t.Context(), code, "zoe", "short", desk); !errors.Is(err, fleet.ErrWeak) {
		t.Errorf("a short password: %v", err)
	}
	// As a person copies it.
	secret := must(t)(h.Redeem(t.Context(), strings.ToLower(strings.ReplaceAll(code, "-", " ")), "zoe", password, desk))
	h.in(t, secret, "zoe")
	if h.Nobody() {
		t.Error("nobody is an operator, after the first")
	}
	for _, name := range []string{"zoe", "max"} {
		if _, err := h.Redeem(t.Context(), code, name, password, desk); !errors.Is(err, fleet.ErrCode) {
			t.Errorf("the code again, for %s: %v", name, err)
		}
	}
	if _, err := h.store.First(); !errors.Is(err, ErrHave) {
		t.Errorf("a first code beside an operator: %v", err)
	}
}

// A first code beside an operator is not even good where one was left over in the file.
func TestFirstCodeLeftOver(t *testing.T) {
	const left = "AAAA-BBBB-CCCC"
	h := with(t, "zoe")
	if err := h.store.change(func(r *roster) error {
		r.Codes = []code{{Sum: sumOf(left), Boot: h.clock.boot, Upto: (h.clock.up + CodeTime).Milliseconds()}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Redeem(t.Context(), left, "max", password, desk); !errors.Is(err, fleet.ErrCode) {
		t.Errorf("a first code that was left over: %v", err)
	}
}

// Two who have the first code at once: one becomes the operator.
func TestFirstCodeIsRaced(t *testing.T) {
	h := open(t)
	code := must(t)(h.store.First())
	var wg sync.WaitGroup
	in := make(chan string, 3)
	for i := range 3 {
		wg.Go(func() {
			if _, err := h.Redeem(t.Context(), code, fmt.Sprintf("zoe%d", i), password, desk); err == nil {
				in <- "in"
			}
		})
	}
	wg.Wait()
	if len(in) != 1 {
		t.Errorf("%d became the first operator", len(in))
	}
}

func TestCodesOfNames(t *testing.T) {
	h := with(t, "zoe")
	if _, err := h.store.Invite("zoe"); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("invited again: %v", err)
	}
	if _, err := h.store.Renew("max"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a new code for nobody: %v", err)
	}
	code := must(t)(h.store.Invite("max"))
	for name, c := range map[string]string{"zoe": code, "max": code[:len(code)-1] + "!", "ann": code, "": code, "../max": code} {
		if _, err := h.Redeem(t.Context(), c, name, password, desk); !errors.Is(err, fleet.ErrCode) {
			t.Errorf("%q with %s: %v", name, c, err)
		}
	}
	if list, err := h.store.List(); err != nil || len(list) != 2 || !list[0].Invited || list[0].Name != "max" || list[1].Made.IsZero() {
		t.Errorf("the list is %v, %v", list, err)
	}
	must(t)(h.Redeem(t.Context(), code, "max", password, desk))
	// A forgotten password: the old one is good until the code is used.
	code = must(t)(h.store.Renew("zoe"))
	before := must(t)(h.Login(t.Context(), "zoe", password, desk))
	h.in(t, before, "zoe")
	after := must(t)(h.Redeem(t.Context(), code, "zoe", "nine white herons", desk))
	h.in(t, after, "zoe")
	h.out(t, before)
	if _, err := h.Login(t.Context(), "zoe", password, desk); !errors.Is(err, fleet.ErrLogin) {
		t.Errorf("the old password: %v", err)
	}
}

func TestCodesEnd(t *testing.T) {
	h := open(t)
	for name, later := range map[string]func(){
		"too old":                               func() { h.clock.up += CodeTime },
		"another boot":                          func() { h.clock.boot = "c" },
		"the same name of the boot, begun anew": func() { h.clock.up = time.Second },
	} {
		*h.clock = clock{"b", time.Hour}
		code := must(t)(h.store.First())
		later()
		if _, err := h.Redeem(t.Context(), code, "zoe", password, desk); !errors.Is(err, fleet.ErrCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	*h.clock = clock{"b", time.Hour}
	code := must(t)(h.store.First())
	h.clock.up += CodeTime - time.Second
	must(t)(h.Redeem(t.Context(), code, "zoe", password, desk))
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := with(t, "zoe")
		login := func() string { return must(t)(h.Login(t.Context(), "zoe", password, desk)) }
		one, two := login(), login()
		if one == two || len(one) < 43 {
			t.Errorf("sessions %s and %s", one, two)
		}
		h.Logout(one)
		h.out(t, one)
		h.in(t, two, "zoe")
		h.Logout("never given")
		three := login()
		if n := h.LogoutEverywhere("zoe", "zoe"); n != 3 { // and the one of the code
			t.Errorf("%d sessions ended", n)
		}
		h.out(t, two)
		h.out(t, three)
		one = login()
		time.Sleep(SessionTime - time.Second)
		h.in(t, one, "zoe")
		time.Sleep(time.Second)
		h.out(t, one)
		// By the verb, in another process: another Store of the same file.
		verb := NewStore(filepath.Dir(h.store.path), h.clock.now)
		one = login()
		if err := verb.Remove("zoe"); err != nil {
			t.Fatal(err)
		}
		h.out(t, one)
		if err := verb.Remove("zoe"); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if here, err := h.Here(); err != nil || len(here) > 0 {
			t.Errorf("here are %v, %v", here, err)
		}
	})
}

func TestTheOldestSessionMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := with(t, "zoe")
		var all []string
		for range maxSessions + 1 {
			time.Sleep(time.Second)
			all = append(all, must(t)(h.Login(t.Context(), "zoe", password, desk)))
		}
		h.out(t, all[0])
		for _, s := range all[1:] {
			h.in(t, s, "zoe")
		}
		if here, err := h.Here(); err != nil || len(here) != maxSessions || here[0].From != desk {
			t.Errorf("here are %v, %v", here, err)
		}
	})
}

// guess is how many of so many guesses were looked at, one a second.
func (h *house) guess(t *testing.T, times int, name func(i int) string, from func(i int) string) (looked int) {
	t.Helper()
	for i := range times {
		_, err := h.Login(t.Context(), name(i), "guessed by a machine", from(i))
		switch {
		case errors.Is(err, fleet.ErrLogin):
			looked++
		case !errors.As(err, new(*fleet.TooManyError)):
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	return looked
}

func always(s string) func(int) string { return func(int) string { return s } }

func TestWhoGuessesWaits(t *testing.T) {
	many := func(i int) string { return fmt.Sprintf("203.0.%d.%d", i/250, i%250) }
	names := func(i int) string { return fmt.Sprintf("name-%d", i) }
	for what, c := range map[string]struct {
		name, from  func(int) string
		least, most int // of an hour's guesses
	}{
		"one address, one name":      {always("zoe"), always(stranger), 5, 30},
		"one address, many names":    {names, always(stranger), 5, 30},
		"many addresses, one name":   {always("zoe"), many, 10, 90},
		"many of both":               {names, many, 100, 30*60 + allBurst + 10},
		"a household with a network": {always("zoe"), func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, 5, 30},
		"what is no address":         {always("zoe"), func(i int) string { return fmt.Sprint("no address ", i) }, 5, 30},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := with(t, "zoe")
				h.attempts = newAttempts()
				if n := h.guess(t, 3600, c.name, c.from); n < c.least || n > c.most {
					t.Errorf("%d guesses of an hour were looked at, want %d to %d", n, c.least, c.most)
				}
				// The password was not found out by being let wait.
				time.Sleep(quiet + time.Second)
				must(t)(h.Login(t.Context(), "zoe", password, stranger))
			})
		})
	}
}

// Somebody guesses a name without end: its owner gets in from where they were before,
// and from elsewhere by a new code.
func TestGuessesLockNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := with(t, "zoe")
		many := func(i int) string { return fmt.Sprintf("203.0.113.%d", i%250) }
		h.guess(t, 300, always("zoe"), many)
		if _, err := h.Login(t.Context(), "zoe", password, "192.0.2.99"); !errors.As(err, new(*fleet.TooManyError)) {
			t.Fatalf("the name is not guarded: %v", err)
		}
		must(t)(h.Login(t.Context(), "zoe", password, desk))
		if _, err := h.Login(t.Context(), "zoe", password, "192.0.2.99"); !errors.As(err, new(*fleet.TooManyError)) {
			t.Errorf("her login opened the name for strangers: %v", err)
		}
		must(t)(h.Redeem(t.Context(), must(t)(h.store.Renew("zoe")), "zoe", password, "192.0.2.99"))
		must(t)(h.Login(t.Context(), "zoe", password, "192.0.2.99"))
	})
}

// Passwords are looked at one by one, and who comes while too many wait is sent away:
// a flood costs the memory of one.
func TestOnePasswordAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := with(t, "zoe")
		h.turn <- struct{}{} // somebody's password is looked at, and it lasts
		results := make(chan error, 20)
		for range 20 {
			go func() {
				_, err := h.Login(context.Background(), "zoe", password, desk)
				results <- err
			}()
		}
		synctest.Wait()
		if n := len(results); n < 20-maxWaiting-1 {
			t.Errorf("only %d of 20 were sent away at once", n)
		}
		time.Sleep(turnTime)
		synctest.Wait()
		for range 20 {
			if err := <-results; !errors.As(err, new(*fleet.TooManyError)) {
				t.Errorf("behind the busy one: %v", err)
			}
		}
		<-h.turn
		must(t)(h.Login(t.Context(), "zoe", password, desk))
	})
}

// Nobody learns by an answer, or by how long it takes, who is an operator.
func TestUnknownNamesLookLikeKnownOnes(t *testing.T) {
	h := with(t, "zoe")
	h.cost = argon2id.Params{Memory: 4 << 10, Iterations: 8, Parallelism: 1, SaltLength: 16, KeyLength: 32} // long enough to be measured
	must(t)(h.Redeem(t.Context(), must(t)(h.store.Renew("zoe")), "zoe", password, desk))
	h.Operators = New(h.store, Config{Memory: h.cost.Memory, Rounds: h.cost.Iterations})
	ask := func(name string) (took time.Duration, text string) {
		began := time.Now()
		_, err := h.Login(t.Context(), name, "wrong password", desk)
		return time.Since(began), fmt.Sprint(err)
	}
	ask("zoe")
	var known, unknown time.Duration = time.Hour, time.Hour
	for range 8 { // the fastest of some: the computer has other work, too
		h.attempts = newAttempts()
		a, said := ask("zoe")
		b, says := ask("nobody")
		if said != says {
			t.Fatalf("%q and %q", said, says)
		}
		known, unknown = min(known, a), min(unknown, b)
	}
	if known > 3*unknown || unknown > 3*known {
		t.Errorf("a known name takes %v, an unknown one %v", known, unknown)
	}
}

func TestNothingTypedIsKept(t *testing.T) {
	h := open(t)
	code := must(t)(h.store.First())
	const planted = "planted-secret-0815"
	secret := must(t)(h.Redeem(t.Context(), code, "zoe", planted, desk))
	for _, try := range [][2]string{{"zoe", planted + "x"}, {planted, "x"}, {planted + "\n level=ERROR", planted}, {"zoe", planted}} {
		_, _ = h.Login(t.Context(), try[0], try[1], planted)
	}
	_, err := h.Redeem(t.Context(), planted, "zoe", planted, planted)
	_, err2 := h.Redeem(t.Context(), planted, planted, planted, planted)
	h.LogoutEverywhere("zoe", "zoe")
	if err := os.WriteFile(h.store.path, []byte(`{"version":1,"operators":[{"name":"`+planted+`"`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err3 := h.Login(t.Context(), "zoe", planted, desk)
	file, _ := os.ReadFile(h.store.path + ".lock")
	all := h.log.String() + fmt.Sprint(err, err2, err3) + string(file)
	for _, s := range []string{planted, code, secret} {
		if strings.Contains(all, s) {
			t.Errorf("%s is in\n%s", s, all)
		}
	}
	if !strings.Contains(all, "failed") || err3 == nil {
		t.Errorf("nothing of all that was told:\n%s", all)
	}
}
