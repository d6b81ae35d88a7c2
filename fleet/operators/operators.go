package operators

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"

	"barista/fleet"
)

const (
	// SessionTime is how long a login is good, whatever is done with it.
	SessionTime = 8 * time.Hour
	// maxSessions is how many browsers one operator is logged in with; one more ends
	// the oldest.
	maxSessions = 8
	// A password is looked at while no other is. Who would wait longer is sent away.
	maxWaiting = 4
	turnTime   = 5 * time.Second
	busyFor    = 3 * time.Second
)

// Operators lets people in and knows who is.
type Operators struct {
	store    *Store
	log      *slog.Logger
	cost     argon2id.Params
	attempts *attempts
	turn     chan struct{} // holds the one whose password is looked at
	waiting  chan struct{}
	decoy    func() string

	mu       sync.Mutex // guards what follows
	sessions map[[sha256.Size]byte]session
}

// session is one browser that was let in.
type session struct {
	fleet.Session
	hash  string    // the login's: another password, or none, ends it
	until time.Time // by the monotonic clock
}

// Config may be left empty.
type Config struct {
	Log *slog.Logger // nil: none
	// What a new password costs; 0: as much as a Raspberry Pi bears. A test takes less.
	Memory, Rounds uint32 // in KiB, at most 65536; at most 8
}

// New lets in whom the store names.
func New(s *Store, c Config) *Operators {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	cost := usual
	cost.Memory, cost.Iterations = cmp.Or(c.Memory, cost.Memory), cmp.Or(c.Rounds, cost.Iterations)
	o := &Operators{
		store: s, log: c.Log, cost: cost, attempts: newAttempts(), turn: make(chan struct{}, 1), waiting: make(chan struct{}, maxWaiting+1),
		sessions: map[[sha256.Size]byte]session{},
	}
	o.decoy = sync.OnceValue(func() string { return decoy(cost) })
	return o
}

// Nobody reports whether there is no operator yet: then the first-run code is asked for.
func (o *Operators) Nobody() bool {
	r, err := o.store.load()
	return err == nil && len(r.Operators) == 0
}

// take is the turn to look at one password; done must be called.
func (o *Operators) take(ctx context.Context) (done func(), err error) {
	busy := &fleet.TooManyError{Wait: busyFor}
	select {
	case o.waiting <- struct{}{}:
	default:
		return nil, busy
	}
	late := time.NewTimer(turnTime)
	defer late.Stop()
	select {
	case o.turn <- struct{}{}:
		return func() { <-o.turn; <-o.waiting }, nil
	case <-late.C:
		err = busy
	case <-ctx.Done():
		err = ctx.Err()
	}
	<-o.waiting
	return nil, err
}

// Login starts a session for who has the password, and returns its secret. From is the
// address of who asks. The errors are fleet.ErrLogin, a fleet.TooManyError, ctx's, and
// those of the store.
func (o *Operators) Login(ctx context.Context, name, password, from string) (secret string, err error) {
	done, err := o.take(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	at := place(from)
	if wait := o.attempts.begin(name, at); wait > 0 {
		return "", &fleet.TooManyError{Wait: max(wait, time.Second)}
	}
	r, err := o.store.load()
	if err != nil {
		return "", err
	}
	decoy := o.decoy() // for a known name too: it must not be made for the first unknown one alone
	l, there := r.find(name)
	if !fits(password, cmp.Or(l.Hash, decoy)) || !there {
		who := "nobody" // what was typed may be a password in the wrong field
		if there {
			who = name
		}
		o.log.Warn("a login as operator failed", "name", who, "from", at.Addr())
		return "", fleet.ErrLogin
	}
	o.attempts.succeed(name, at)
	return o.begin(l, at), nil
}

// Redeem gives the holder of a one-time code the password that they chose, and starts a
// session; those from before end. The errors are fleet.ErrCode, fleet.ErrWeak, a
// fleet.TooManyError, ctx's, and those of the store.
func (o *Operators) Redeem(ctx context.Context, code, name, password, from string) (secret string, err error) {
	if !fleet.IsToken(name) {
		return "", fleet.ErrCode
	}
	if err := o.store.good(code, name); err != nil {
		if errors.Is(err, fleet.ErrCode) {
			o.log.Warn("a one-time code for operators was refused", "from", place(from).Addr())
		}
		return "", err
	}
	done, err := o.take(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	hash, err := hashOf(name, password, o.cost)
	if err != nil {
		return "", err
	}
	if err := o.store.redeem(code, name, hash); err != nil { // somebody may have been faster
		return "", err
	}
	at := place(from)
	o.attempts.succeed(name, at)
	o.log.Info("an operator has set a password by a one-time code", "name", name, "from", at.Addr())
	return o.begin(login{Name: name, Hash: hash}, at), nil
}

// begin starts a session of its own for who has just proved who they are: a secret that
// somebody brought along is never made good.
func (o *Operators) begin(l login, at netip.Prefix) (secret string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	secret = base64.RawURLEncoding.EncodeToString(b)
	from := "" // what is no address is nothing to show
	if at.IsValid() {
		from = at.Addr().String()
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prune(now)
	var own [][sha256.Size]byte
	for key, s := range o.sessions {
		if s.Name == l.Name {
			own = append(own, key)
		}
	}
	slices.SortFunc(own, func(a, b [sha256.Size]byte) int { return o.sessions[a].until.Compare(o.sessions[b].until) })
	for len(own) >= maxSessions {
		delete(o.sessions, own[0])
		own = own[1:]
	}
	o.sessions[sha256.Sum256([]byte(secret))] = session{fleet.Session{Name: l.Name, From: from, Since: now}, l.Hash, now.Add(SessionTime)}
	o.log.Info("an operator is logged in", "name", l.Name, "from", from)
	return secret
}

// prune forgets what has passed. The caller holds mu.
func (o *Operators) prune(now time.Time) {
	maps.DeleteFunc(o.sessions, func(_ [sha256.Size]byte, s session) bool { return !now.Before(s.until) })
}

// Who is logged in with a session's secret.
func (o *Operators) Who(secret string) (name string, ok bool) {
	key := sha256.Sum256([]byte(secret))
	o.mu.Lock()
	defer o.mu.Unlock()
	s, there := o.sessions[key]
	if !there {
		return "", false
	}
	r, err := o.store.load()
	if err != nil {
		o.log.Error("operators can't be told from others", "error", err)
		return "", false // their list may be mended while they stay
	}
	if !o.holds(r, s) {
		delete(o.sessions, key)
		return "", false
	}
	return s.Name, true
}

// holds reports whether a session is still good by the roster.
func (o *Operators) holds(r roster, s session) bool {
	l, there := r.find(s.Name)
	return there && l.Hash == s.hash && time.Now().Before(s.until)
}

// Here is who is logged in, by name and then by time.
func (o *Operators) Here() ([]fleet.Session, error) {
	r, err := o.store.load()
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []fleet.Session
	for key, s := range o.sessions {
		if !o.holds(r, s) {
			delete(o.sessions, key)
			continue
		}
		list = append(list, s.Session)
	}
	slices.SortFunc(list, func(a, b fleet.Session) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since))
	})
	return list, nil
}

// Logout ends one session.
func (o *Operators) Logout(secret string) {
	key := sha256.Sum256([]byte(secret))
	o.mu.Lock()
	defer o.mu.Unlock()
	if s, there := o.sessions[key]; there {
		delete(o.sessions, key)
		o.log.Info("an operator has logged out", "name", s.Name)
	}
}

// LogoutEverywhere ends all sessions of a name, as by says, and returns how many.
func (o *Operators) LogoutEverywhere(name, by string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.sessions)
	maps.DeleteFunc(o.sessions, func(_ [sha256.Size]byte, s session) bool { return s.Name == name })
	n -= len(o.sessions)
	if n > 0 {
		o.log.Info("an operator was logged out everywhere", "name", name, "sessions", n, "by", by)
	}
	return n
}
