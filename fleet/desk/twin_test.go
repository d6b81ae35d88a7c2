package desk

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"barista/fleet"
)

// TestTwin: two processes of one name, with journals of their own or the same, as a
// copied folder has it. The one that is here stays. The other one's word is not passed
// on and it begins nothing; what it has to say of what was begun is heard.
func TestTwin(t *testing.T) {
	first, second := me, me
	first.Nonce, second.Nonce = strings.Repeat("a", 26), strings.Repeat("b", 26)
	away := second
	away.Journal = "j7"
	probe := fleet.ProcessSubject("ann", first.Nonce) + " "
	for name, c := range map[string]struct {
		asks   fleet.Owner
		here   bool
		answer error // of the process that is here
		twin   bool
		probed bool
	}{
		"itself":                                   {first, true, nil, false, false},
		"a second one":                             {second, true, nil, true, true},
		"a second one, with another journal":       {away, true, nil, true, true},
		"the first one does not answer":            {second, true, errors.New("no answer within 1 s"), true, true},
		"the first one is dead":                    {second, true, fleet.ErrNobody, false, true},
		"the first one was not heard of for long":  {second, false, nil, false, false},
		"a second one of a version without nonces": {me, true, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			ask := func(verb string, p fleet.Phase) (fleet.Told, *shop) {
				s := open(t)
				s.roll = []fleet.Machine{{Presence: fleet.Presence{Machine: "abe"}, Here: true}, {Presence: fleet.Presence{Machine: "ann", Owner: first}, Here: c.here}}
				s.desk.p.Requester = answers{s, c.answer}
				if verb == fleet.DeskPresence {
					return s.word(c.asks, fleet.Small), s
				}
				a := about(s.put(claimAt(p, first)), c.asks)
				if a.Outcome = ""; verb == fleet.DeskEnd {
					a.Outcome = fleet.Made
				}
				return s.ask("ann", verb, a), s
			}
			for _, x := range []struct {
				verb   string
				phase  fleet.Phase
				begins bool
			}{
				{fleet.DeskPresence, "", true}, {fleet.DeskClaim, fleet.Accepted, true}, {fleet.DeskFence, fleet.Accepted, true},
				{fleet.DeskFence, fleet.Claimed, true}, {fleet.DeskFence, fleet.Brewing, true},
				{fleet.DeskEnd, fleet.Brewing, false}, {fleet.DeskPark, fleet.Brewing, false}, {fleet.DeskTake, fleet.Brewing, false},
				{fleet.DeskDoubt, fleet.Accepted, false},
			} {
				told, s := ask(x.verb, x.phase)
				code := ""
				switch {
				case x.begins && c.twin:
					code = fleet.DeskTwin
				case c.asks.Journal != first.Journal && (x.phase == fleet.Claimed || x.phase == fleet.Brewing) && (x.verb == fleet.DeskFence || x.verb == fleet.DeskEnd):
					code = fleet.DeskRefused // not its own
				}
				if told.Code != code {
					t.Errorf("%s of %s: %q %s, want %q", x.verb, x.phase, told.Code, told.Text, code)
				}
				if code == fleet.DeskTwin && (len(s.here) > 0 || len(s.wrote) > 0) {
					t.Errorf("%s of %s: refused, and passed on", x.verb, x.phase)
				}
				if probed := slices.Contains(s.asked, probe); probed != (c.probed && x.begins) || probed && len(s.asked) > 1 {
					t.Errorf("%s of %s: asked %q", x.verb, x.phase, s.asked)
				}
				if x.verb == fleet.DeskFence && told.Code == "" && told.Entry.Owner.Nonce != c.asks.Nonce {
					t.Errorf("the claim names the process %q", told.Entry.Owner.Nonce)
				}
			}
		})
	}
}

// answers are those of whoever is asked.
type answers struct {
	*shop
	err error
}

func (a answers) Request(ctx context.Context, subject string, body []byte) ([]byte, error) {
	_, _ = a.shop.Request(ctx, subject, body)
	return nil, a.err
}

// A nonce is part of a subject, so it is nothing but a token, and no word that a
// machine hears commands on.
func TestNonceIsChecked(t *testing.T) {
	s := open(t)
	for _, n := range []string{"cmd", "cup", "*", ">", "a.b", "x y", strings.Repeat("A", 26), strings.Repeat("a", 33)} {
		o := me
		o.Nonce = n
		if told := s.word(o, fleet.Small); told.Code != fleet.DeskRefused {
			t.Errorf("%q: %q", n, told.Code)
		}
		s.roll = []fleet.Machine{{Presence: fleet.Presence{Machine: "ann", Owner: o}, Here: true}} // of a foreign hand
		o.Nonce = strings.Repeat("b", 26)
		if told := s.word(o, fleet.Small); told.Code != "" {
			t.Errorf("beside %q: %q", n, told.Code)
		}
	}
}
