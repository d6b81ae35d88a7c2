package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"barista/fleet"
)

// Retire puts a machine out for good: its key is good no more, the shop waits for its word
// no more, and while it is away it is no machine of this shop. Should it come back it is
// out of service. *fleet.StaysError: not now, and nothing was changed.
//
// Here and in Replace all that may be refused is looked at before anything is changed; and
// each step may be done twice, so that who was interrupted asks again.
func (s Shop) Retire(ctx context.Context, machine, by, reason string) (fleet.Left, error) {
	return s.leave(ctx, machine, fleet.Cordon{By: by, Reason: reason, Retired: true})
}

// Replace puts a machine out for other hardware that comes under its name: that is out of
// service until a person has looked at it, and where the shop has keys it is invited, for
// ttl. An error after Left.Out is of the invitation. The rest is as with Retire.
func (s Shop) Replace(ctx context.Context, machine, by, reason string, ttl time.Duration) (fleet.Left, error) {
	out, err := s.leave(ctx, machine, fleet.Cordon{By: by, Reason: reason, Replaced: true})
	if err != nil || !out.Keys {
		return out, err
	}
	i, err := s.Door.Invite(ctx, fleet.KindMachine, machine, ttl, by)
	if err == nil {
		out.Invited = &i
	}
	return out, err
}

// leave puts a machine out, and writes down as what.
func (s Shop) leave(ctx context.Context, machine string, as fleet.Cordon) (fleet.Left, error) {
	out := fleet.Left{Machine: machine}
	if err := signed(&as); err != nil {
		return out, err
	}
	member, err := s.mayLeave(ctx, &out)
	if err != nil {
		return out, err
	}
	if member {
		if err := s.Door.Revoke(ctx, fleet.KindMachine, machine, as.By); err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return out, err
		}
		out.Revoked = true
	}
	if err := s.GiveUp(ctx, machine, as.By, as.Reason); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return out, err
	}
	if err := s.set(ctx, machine, as); err != nil {
		return out, err
	}
	out.Out = true
	return out, nil
}

// mayLeave looks whether a machine may leave, and says whether it has a key.
func (s Shop) mayLeave(ctx context.Context, out *fleet.Left) (member bool, err error) {
	name := out.Machine
	stays := func(code, why string) error { return &fleet.StaysError{Machine: name, Code: code, Why: why} }
	b, err := s.Controller.Standing(ctx) // first: where a controller answers, a door that there is is open
	if err != nil {
		return false, err
	}
	members, err := s.members(ctx)
	if out.Keys = err == nil; err != nil && !errors.Is(err, fleet.ErrNobody) {
		return false, err
	}
	if i := slices.IndexFunc(members, func(m fleet.Member) bool { return m.Kind == fleet.KindMachine && m.Name == name }); i >= 0 {
		if members[i].Own {
			return false, stays(fleet.StaysOwn, "")
		}
		member = true
	}
	m, err := s.Named(ctx, name)
	if err != nil && !(member && errors.Is(err, fleet.ErrNotFound)) { // away for longer than the shop remembers
		return false, err
	}
	switch {
	case m.Here && m.Cordon == nil:
		return false, stays(fleet.StaysInService, "")
	case m.Here && !m.Parked():
		return false, stays(fleet.StaysUnparked, "")
	case m.Here && !out.Keys:
		return false, stays(fleet.StaysUncut, "")
	case slices.Contains(b.Missing, name):
		return false, stays(fleet.StaysAwaited, "")
	case b.State == fleet.StandClosed || b.State == fleet.StandLooking:
		return false, stays(fleet.StaysClosed, b.Why)
	}
	orders, err := s.Holds(ctx, name)
	if err != nil || len(orders) == 0 {
		return member, err
	}
	no := &fleet.StaysError{Machine: name, Code: fleet.StaysHolds, Member: member}
	for _, o := range orders {
		no.Held = append(no.Held, fleet.Held{ID: o.ID, Phase: o.Phase})
	}
	return member, no
}

// members are those with a key; fleet.ErrNobody where the shop gives none.
func (s Shop) members(ctx context.Context) ([]fleet.Member, error) {
	if s.Door == nil {
		return nil, fleet.ErrNobody
	}
	return s.Door.Members(ctx)
}
