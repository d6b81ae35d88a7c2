package door

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"barista/fleet"
	"barista/fleet/keys"
)

// What is asked of a door, as JSON in and out: a guest on coffee.door.knock.<id>, a
// knock for a welcome; operators on coffee.door.<verb>, an ask for a reply.
const (
	verbInvite  = "invite"
	verbPending = "pending"
	verbAccept  = "accept"
	verbRefuse  = "refuse"
	verbMembers = "members"
	verbRevoke  = "revoke"
)

func subject(verb string) string { return fleet.Subject("coffee", "door", verb) }

// knock is what a guest says of himself.
type knock struct {
	Key   string `json:"key"`   // the public half of the key that he has made
	About string `json:"about"` // for the operator, who compares it
}

// welcome is what he hears.
type welcome struct {
	State state  `json:"state"`
	Kind  string `json:"kind,omitempty"`
	Name  string `json:"name,omitempty"`
	CA    string `json:"ca,omitempty"` // PEM, when he is let in
}

type ask struct {
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name,omitempty"`
	ID         string `json:"id,omitempty"`
	By         string `json:"by,omitempty"`
	TTLSeconds int    `json:"ttl_seconds,omitempty"`
}

type reply struct {
	Error      *trouble          `json:"error,omitempty"`
	Invitation *fleet.Invitation `json:"invitation,omitempty"`
	Applicants []fleet.Applicant `json:"applicants,omitempty"`
	Members    []fleet.Member    `json:"members,omitempty"`
}

type trouble struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The codes of a trouble.
const (
	codeNotFound  = "not_found"
	codeElsewhere = "elsewhere"
	codeOwn       = "own"
	codeRefused   = "refused"
)

// maxAsk is the largest request that is read, in bytes, and maxAbout what a guest says
// of himself.
const (
	maxAsk   = 2 << 10
	maxAbout = 120
)

func (d *Door) serve(ctx context.Context, wg *sync.WaitGroup) {
	answer := func(on string, f func(ctx context.Context, on string, body []byte) any) {
		wg.Go(func() {
			fleet.Keep(ctx, d.Log, on, func() error {
				return d.Server.Serve(ctx, on, true, func(ctx context.Context, on string, body []byte) []byte {
					b, err := json.Marshal(f(ctx, on, body))
					if err != nil {
						panic(err) // our own structs
					}
					return b
				})
			})
		})
	}
	answer(fleet.Subject("coffee", "door", "knock", "*"), func(_ context.Context, on string, body []byte) any {
		k, err := decodeKnock(body)
		if err != nil {
			d.Log.Warn("a guest who says nothing that can be understood", "err", err)
			return welcome{State: refused}
		}
		return d.knock(on[strings.LastIndexByte(on, '.')+1:], k)
	})
	for _, verb := range []string{verbInvite, verbPending, verbAccept, verbRefuse, verbMembers, verbRevoke} {
		answer(subject(verb), func(ctx context.Context, _ string, body []byte) any {
			return d.hear(context.WithoutCancel(ctx), verb, body)
		})
	}
}

// decodeKnock reads what a stranger sent.
func decodeKnock(b []byte) (k knock, err error) {
	if len(b) > maxAsk {
		return k, fmt.Errorf("%d bytes, at most %d are read", len(b), maxAsk)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return knock{}, errors.New("it is not JSON of the right form")
	}
	if !keys.IsPublic(k.Key) {
		return knock{}, errors.New("no key")
	}
	if k.About = fleet.Plain(k.About); len(k.About) > maxAbout {
		return knock{}, errors.New("it says too much")
	}
	return k, nil
}

func (d *Door) hear(ctx context.Context, verb string, body []byte) (r reply) {
	var a ask
	if len(body) > maxAsk {
		return reply{Error: &trouble{codeRefused, "the request is too long"}}
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return reply{Error: &trouble{codeRefused, "the request is not JSON of the right form"}}
		}
	}
	var err error
	switch verb {
	case verbInvite:
		var i fleet.Invitation
		if i, err = d.Invite(ctx, a.Kind, a.Name, time.Duration(a.TTLSeconds)*time.Second, a.By); err == nil {
			r.Invitation = &i
		}
	case verbPending:
		r.Applicants, err = d.Pending(ctx)
	case verbAccept:
		err = d.Accept(ctx, a.ID, a.By)
	case verbRefuse:
		err = d.Refuse(ctx, a.ID, a.By)
	case verbMembers:
		r.Members, err = d.Members(ctx)
	case verbRevoke:
		err = d.Revoke(ctx, a.Kind, a.Name, a.By)
	}
	switch {
	case err == nil:
	case errors.Is(err, fleet.ErrNotFound):
		r.Error = &trouble{codeNotFound, err.Error()}
	case errors.Is(err, ErrElsewhere):
		r.Error = &trouble{codeElsewhere, err.Error()}
	case errors.Is(err, ErrOwn):
		r.Error = &trouble{codeOwn, err.Error()}
	default:
		r.Error = &trouble{codeRefused, err.Error()}
	}
	return r
}
