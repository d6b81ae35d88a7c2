// Package door is how somebody becomes a member of a shop, and how he ceases to be
// one. An operator invites a machine, a person or a web service by name and gets a
// code; whoever has it may do one thing at the broker: knock, with the public half of
// the key that he has made at home. An operator sees who knocks, and lets him in or
// not. From then on the broker knows that key, and what its role may do; nothing is
// started anew. Revoked, it is cut off at once.
//
// What it promises: no secret comes here but the code's, and that is not kept; nobody
// has a right before a person said so; a code brings in one key, and is over with its
// time or the service. What it never does: change the broker. It hands the whole list
// of members to whoever does, and says no where that failed.
//
// Open reads the members, Run serves until its context ends, New asks a door from
// elsewhere (see Client).
package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// The times of invitations.
const (
	DefaultTTL = 15 * time.Minute
	mostTTL    = 24 * time.Hour
	// heard is how long somebody who was let in is still told so.
	heard = 2 * time.Minute
	// mostInvited bounds the invitations that stand at a time: each is a user of the
	// broker.
	mostInvited = 64
	// lookEvery is how often what is over is removed, and the menu looked at.
	lookEvery = 5 * time.Second
)

// Parts is what a Door is joined to.
type Parts struct {
	Server fleet.Server
	// Change puts a table in force at the broker. nil: the broker is run by others, who
	// let nobody in by themselves.
	Change func(roles.Table) error
	// Own are the shop's own members, which nobody revokes.
	Own []roles.Member
	// Foreign lets in who has no key, as roles.Table says.
	Foreign bool
	// Classes are those of the menu: what a machine may pull.
	Classes func() []fleet.Class
	// Left is told of a machine that was revoked, after it was cut off: what it had in
	// hand is somebody else's now, or nobody's. nil: nobody hears it.
	Left func(ctx context.Context, machine, by string) error
	// Here are the keys that are connected to the broker now, each with the address from
	// which, "" where there is none. nil: nobody knows.
	Here func() map[string]string
	// CA is the shop's authority as PEM, and its fingerprint. Empty without TLS.
	CA          []byte
	Fingerprint string
	Log         *slog.Logger // nil: none
}

// Door keeps the members. Any goroutine may use it.
type Door struct {
	Parts
	path string

	mu      sync.Mutex // guards the following, and the order of changes at the broker
	members []fleet.Member
	guests  []*guest
	inForce []fleet.Class // the classes of the table that is in force
}

// guest is an invitation, and who has come with it.
type guest struct {
	id    string // its name at the broker
	code  string // the public key of the code
	kind  roles.Kind
	name  string
	by    string
	ends  time.Time // monotonic
	until time.Time // the same, for display

	asks  *fleet.Applicant // who knocked, nil: nobody yet
	state state
}

type state string

const (
	waiting  state = "waiting" // for an operator
	accepted state = "accepted"
	refused  state = "refused"
)

// The errors that a caller may have to tell apart.
var (
	ErrElsewhere = errors.New("the broker of this shop is run by others: make a key with barista key new, and have its public half put into their accounts (barista key cluster-config prints them)")
	ErrOwn       = errors.New("that is the shop's own key; one that its file names (machines:, article:) is taken out there, and the shop started anew")
)

// Open reads the members of a shop from the file at path, where there is one, and puts
// them in force.
func Open(p Parts, path string) (*Door, error) {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	members, err := load(path)
	if err != nil {
		return nil, err
	}
	d := &Door{Parts: p, path: path, members: members}
	d.mu.Lock()
	defer d.mu.Unlock()
	// One key for a name: what the shop makes itself since is no member any more, so that
	// its former key does not come back when the name leaves the shop's file again.
	kept := slices.DeleteFunc(slices.Clone(members), func(m fleet.Member) bool { return d.owns(m.Kind, m.Name) })
	return d, d.change(kept, nil)
}

// Table is who may come in, with the guests.
func (d *Door) table(members []fleet.Member, guests []*guest) roles.Table {
	t := roles.Table{Members: slices.Clone(d.Own), Foreign: d.Foreign}
	for _, m := range members {
		one := roles.Member{Kind: roles.Kind(m.Kind), Name: m.Name, Key: m.Key}
		if one.Kind == roles.Machine {
			one.Classes = d.inForce
		}
		t.Members = append(t.Members, one)
	}
	for _, g := range guests {
		t.Members = append(t.Members, roles.Member{Kind: roles.Guest, Name: g.id, Key: g.code})
	}
	return t
}

// change puts members and guests in force, writes the members down, and keeps them:
// all of it, or nothing of it. mu is held.
func (d *Door) change(members []fleet.Member, guests []*guest) error {
	if d.Change == nil {
		return nil
	}
	classes := d.inForce
	if d.Classes != nil {
		d.inForce = d.Classes()
	}
	t := d.table(members, guests)
	if err := t.Check(); err != nil {
		d.inForce = classes
		return err
	}
	// First what nobody may forget: who was revoked must not be back after a start.
	if !slices.Equal(d.members, members) {
		if err := save(d.path, members); err != nil {
			d.inForce = classes
			return err
		}
	}
	if err := d.Change(t); err != nil {
		d.inForce = classes
		return errors.Join(err, d.keep(members))
	}
	d.members, d.guests = members, guests
	return nil
}

// keep writes the members down that are in force again.
func (d *Door) keep(tried []fleet.Member) error {
	if slices.Equal(d.members, tried) {
		return nil
	}
	return save(d.path, d.members)
}

// Invite makes a code for a name. ttl is from a minute to a day; 0 is DefaultTTL.
func (d *Door) Invite(_ context.Context, kind, name string, ttl time.Duration, by string) (fleet.Invitation, error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	by, err := d.who(by)
	switch {
	case err != nil:
		return fleet.Invitation{}, err
	case ttl < time.Minute || ttl > mostTTL:
		return fleet.Invitation{}, fmt.Errorf("an invitation stands for 1m to %v, not for %v", mostTTL, ttl)
	case !mayBeInvited(roles.Kind(kind)):
		return fleet.Invitation{}, fmt.Errorf("%.20q can't be invited: machine, operator, web, monitor, archive and hub (a site) can", kind)
	case !fleet.IsToken(name) || kind == string(roles.Machine) && !fleet.IsMachine(name):
		return fleet.Invitation{}, fmt.Errorf("no %s can be called %.40q: 1 to 32 of a-z, 0-9 and -, and no name of a role", kind, name)
	}
	if d.owns(kind, name) { // a second key would be in force beside it, and nobody could take the first away
		return fleet.Invitation{}, ErrOwn
	}
	code, err := keys.NewCode(d.Fingerprint)
	if err != nil {
		return fleet.Invitation{}, errors.New("the shop has no certificate of its own yet, by which a guest would know it: let its broker listen on the network (broker: {listen: …}) and start it anew")
	}
	key, err := code.Key(string(roles.Guest), name)
	if err != nil {
		return fleet.Invitation{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	guests := slices.DeleteFunc(slices.Clone(d.guests), func(g *guest) bool { return g.kind == roles.Kind(kind) && g.name == name })
	if len(guests) >= mostInvited {
		return fleet.Invitation{}, fmt.Errorf("%d invitations stand, and no more may: wait until some are over", len(guests))
	}
	g := &guest{
		id: GuestID(key), code: key.Public(), kind: roles.Kind(kind), name: name, by: by,
		ends: time.Now().Add(ttl), until: time.Now().Add(ttl).Round(0), state: waiting,
	}
	if err := d.change(d.members, append(guests, g)); err != nil {
		return fleet.Invitation{}, err
	}
	d.Log.Info("invited", "kind", kind, "name", name, "by", by, "for", ttl)
	known := slices.ContainsFunc(d.members, func(m fleet.Member) bool { return m.Kind == kind && m.Name == name })
	return fleet.Invitation{Code: code.Text(), Kind: kind, Name: name, Until: g.until, Known: known}, nil
}

func mayBeInvited(k roles.Kind) bool {
	return slices.Contains([]roles.Kind{roles.Machine, roles.Operator, roles.Web, roles.Monitor, roles.Archive, roles.Hub}, k)
}

// who checks who does it, for the record.
func (d *Door) who(by string) (string, error) {
	if d.Change == nil {
		return "", ErrElsewhere
	}
	if by = fleet.Plain(by); by == "" || len(by) > 64 {
		return "", errors.New("who does it must be said, in up to 64 bytes")
	}
	return by, nil
}

// knock is a guest at the door, once for each time that he asks.
func (d *Door) knock(id string, k knock) welcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.guests, func(g *guest) bool { return g.id == id })
	if i < 0 || time.Now().After(d.guests[i].ends) {
		return welcome{State: refused}
	}
	g := d.guests[i]
	if g.asks == nil {
		if slices.ContainsFunc(d.members, func(m fleet.Member) bool { return m.Key == k.Key }) || slices.ContainsFunc(d.Own, func(m roles.Member) bool { return m.Key == k.Key }) {
			return welcome{State: refused} // a key is of one member
		}
		g.asks = &fleet.Applicant{ID: g.id, Kind: string(g.kind), Name: g.name, Key: k.Key, From: d.here()[g.code], About: k.About, Asked: time.Now()}
		d.Log.Info("somebody knocks and waits to be let in", "kind", g.kind, "name", g.name, "key", k.Key, "from", g.asks.From, "about", k.About)
	}
	if g.asks.Key != k.Key {
		d.Log.Warn("another computer came with a code that was used: whoever has read it may be a stranger; refuse both and invite anew", "kind", g.kind, "name", g.name, "key", k.Key)
		return welcome{State: refused}
	}
	w := welcome{State: g.state, Kind: string(g.kind), Name: g.name}
	if g.state == accepted {
		w.CA = string(d.CA)
	}
	return w
}

// Pending are those who wait to be let in, in the order of their coming.
func (d *Door) Pending(context.Context) ([]fleet.Applicant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []fleet.Applicant
	for _, g := range d.guests {
		if g.asks != nil && g.state == waiting {
			out = append(out, *g.asks)
		}
	}
	slices.SortStableFunc(out, func(a, b fleet.Applicant) int { return a.Asked.Compare(b.Asked) })
	return out, nil
}

// Accept lets in who waits: by the application's id, or by the name where one of that
// name waits. A member of that name had another key: that one is cut off.
func (d *Door) Accept(ctx context.Context, id, by string) error {
	by, err := d.who(by)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	g, err := d.waits(id)
	if err != nil {
		return err
	}
	m := fleet.Member{Kind: string(g.kind), Name: g.name, Key: g.asks.Key, By: by, Since: time.Now().Round(0).UTC()}
	same := func(o fleet.Member) bool { return o.Kind == m.Kind && o.Name == m.Name }
	replaced := slices.ContainsFunc(d.members, same)
	if err := d.change(append(slices.DeleteFunc(slices.Clone(d.members), same), m), d.guests); err != nil {
		return err
	}
	g.state, g.ends = accepted, time.Now().Add(heard)
	d.Log.Info("let in", "kind", m.Kind, "name", m.Name, "key", m.Key, "by", by, "replaced", replaced)
	return nil
}

// Refuse sends away who waits.
func (d *Door) Refuse(_ context.Context, id, by string) error {
	by, err := d.who(by)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	g, err := d.waits(id)
	if err != nil {
		return err
	}
	g.state, g.ends = refused, time.Now().Add(heard)
	d.Log.Info("refused", "kind", g.kind, "name", g.name, "by", by)
	return nil
}

// waits finds who waits. mu is held.
func (d *Door) waits(id string) (*guest, error) {
	var found []*guest
	for _, g := range d.guests {
		if g.asks != nil && g.state == waiting && (g.id == id || g.name == id) {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fleet.Saying(fmt.Sprintf("nobody called %.40q waits at the door", id), fleet.ErrNotFound)
	case len(found) > 1:
		return nil, fmt.Errorf("%d called %.40q wait at the door: name one by its id", len(found), id)
	}
	return found[0], nil
}

// Members are those of the shop, its own parts first.
func (d *Door) Members(context.Context) ([]fleet.Member, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []fleet.Member
	for _, m := range d.Own {
		out = append(out, fleet.Member{Kind: string(m.Kind), Name: m.Name, Key: m.Key, Own: true})
	}
	out = append(out, d.members...)
	here := d.here()
	for i, m := range out {
		_, out[i].Here = here[m.Key]
	}
	return out, nil
}

func (d *Door) here() map[string]string {
	if d.Here == nil {
		return nil
	}
	return d.Here()
}

// Revoke takes a member's key away. It is cut off before this returns, and what a
// machine had in hand is dealt with.
func (d *Door) Revoke(ctx context.Context, kind, name, by string) error {
	by, err := d.who(by)
	if err != nil {
		return err
	}
	if err := d.remove(kind, name); err != nil {
		return err
	}
	d.Log.Warn("revoked", "kind", kind, "name", name, "by", by)
	if kind != string(roles.Machine) || d.Left == nil {
		return nil
	}
	if err := d.Left(ctx, name, by); err != nil {
		return fmt.Errorf("%s is cut off; what it had in hand is not dealt with yet: %w", name, err)
	}
	return nil
}

// owns reports whether a name is of a part of the shop.
func (d *Door) owns(kind, name string) bool {
	return slices.ContainsFunc(d.Own, func(m roles.Member) bool { return string(m.Kind) == kind && m.Name == name })
}

func (d *Door) remove(kind, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	is := func(m fleet.Member) bool { return m.Kind == kind && m.Name == name }
	if d.owns(kind, name) {
		return ErrOwn
	}
	if !slices.ContainsFunc(d.members, is) {
		return fleet.Saying(fmt.Sprintf("the shop has no %.20q called %.40q", kind, name), fleet.ErrNotFound)
	}
	return d.change(slices.DeleteFunc(slices.Clone(d.members), is), d.guests)
}

// Run serves, and removes what is over, until ctx ends. It returns nil.
func (d *Door) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	d.serve(ctx, &wg)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := d.look(); err != nil {
				d.Log.Error("the members can't be put in force; it is tried again", "err", err)
			}
		}
	}
}

// look removes invitations that are over, and gives machines the classes of another
// menu.
func (d *Door) look() error {
	if d.Change == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	guests := slices.DeleteFunc(slices.Clone(d.guests), func(g *guest) bool { return now.After(g.ends) })
	if len(guests) == len(d.guests) && (d.Classes == nil || slices.Equal(d.Classes(), d.inForce)) {
		return nil
	}
	return d.change(d.members, guests)
}
