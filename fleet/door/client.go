package door

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"barista/fleet"
	"barista/fleet/keys"
)

// GuestID is the name of a guest at the broker, by the key of his code.
func GuestID(code *keys.Key) string { return strings.ToLower(code.Public()[1:25]) }

// Client is a door elsewhere; its methods are those of Door.
type Client struct{ r fleet.Requester }

// New asks a door over the network, with an operator's key.
func New(r fleet.Requester) Client { return Client{r} }

// The patience of who asks. A shop that only just starts is reached before its door is
// open, and one that is busy may be slow to answer.
const (
	opensWithin = 5 * time.Second
	askAgain    = 250 * time.Millisecond
)

// ask asks a door, again where nobody is there yet, or where no answer came and a second
// time is no harm: of two codes for a name only the newer one is good.
func (c Client) ask(ctx context.Context, verb string, a ask) (r reply, err error) {
	harmless := verb == verbInvite || verb == verbPending || verb == verbMembers
	for began := time.Now(); ; {
		r = reply{}
		if err = request(ctx, c.r, subject(verb), a, &r); err == nil {
			break
		}
		again := errors.Is(err, fleet.ErrNobody) || harmless && errors.Is(err, fleet.ErrNoAnswer)
		if !again || time.Since(began) >= opensWithin || !fleet.Pause(ctx, askAgain) {
			return r, err
		}
	}
	if r.Error == nil {
		return r, nil
	}
	switch r.Error.Code {
	case codeNotFound:
		return r, fleet.Saying(r.Error.Message, fleet.ErrNotFound)
	case codeElsewhere:
		return r, ErrElsewhere
	case codeOwn:
		return r, ErrOwn
	}
	return r, errors.New(r.Error.Message)
}

func request(ctx context.Context, r fleet.Requester, subject string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	b, err = r.Request(ctx, subject, b)
	if err != nil {
		return fmt.Errorf("nobody is at the shop's door: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("what the shop's door says can't be read: %w", err)
	}
	return nil
}

// Invite is Door.Invite.
func (c Client) Invite(ctx context.Context, kind, name string, ttl time.Duration, by string) (fleet.Invitation, error) {
	r, err := c.ask(ctx, verbInvite, ask{Kind: kind, Name: name, By: by, TTLSeconds: int(ttl / time.Second)})
	if err != nil || r.Invitation == nil {
		return fleet.Invitation{}, errors.Join(err, missing(err, "invitation"))
	}
	return *r.Invitation, nil
}

func missing(err error, what string) error {
	if err != nil {
		return nil
	}
	return fmt.Errorf("the shop's door gave no %s", what)
}

// Pending is Door.Pending.
func (c Client) Pending(ctx context.Context) ([]fleet.Applicant, error) {
	r, err := c.ask(ctx, verbPending, ask{})
	return r.Applicants, err
}

// Accept is Door.Accept.
func (c Client) Accept(ctx context.Context, id, by string) error {
	_, err := c.ask(ctx, verbAccept, ask{ID: id, By: by})
	return err
}

// Refuse is Door.Refuse.
func (c Client) Refuse(ctx context.Context, id, by string) error {
	_, err := c.ask(ctx, verbRefuse, ask{ID: id, By: by})
	return err
}

// Members is Door.Members.
func (c Client) Members(ctx context.Context) ([]fleet.Member, error) {
	r, err := c.ask(ctx, verbMembers, ask{})
	return r.Members, err
}

// Revoke is Door.Revoke.
func (c Client) Revoke(ctx context.Context, kind, name, by string) error {
	_, err := c.ask(ctx, verbRevoke, ask{Kind: kind, Name: name, By: by})
	return err
}

// Welcome is what a guest is after he was let in.
type Welcome struct {
	Kind, Name string
	CA         []byte // of the shop, PEM
}

// ErrRefused: the shop lets the guest not in, or does not know his code any more.
var ErrRefused = errors.New("the shop did not let it in")

// knockEvery is how often a guest asks whether he is let in.
const knockEvery = 2 * time.Second

// Knock asks to be let in with the key that the guest has made, until an operator has
// decided or ctx ends. The requester is the guest's, who is known by his code until
// then; waits is called once, when the shop has heard him. Errors: ErrRefused; those of ctx; a shop that gives no answer
// is asked again.
func Knock(ctx context.Context, r fleet.Requester, code, key *keys.Key, about string, waits func(kind, name string)) (Welcome, error) {
	on := fleet.Subject("coffee", "door", "knock", GuestID(code))
	said := false
	for {
		var w welcome
		err := request(ctx, r, on, knock{Key: key.Public(), About: about}, &w)
		switch {
		case ctx.Err() != nil:
			return Welcome{}, ctx.Err()
		case err != nil: // it is asked again
		case w.State == accepted:
			return Welcome{w.Kind, w.Name, []byte(w.CA)}, nil
		case w.State != waiting:
			return Welcome{}, ErrRefused
		case !said:
			said = true
			waits(w.Kind, w.Name)
		}
		if !fleet.Pause(ctx, knockEvery) {
			return Welcome{}, ctx.Err()
		}
	}
}
