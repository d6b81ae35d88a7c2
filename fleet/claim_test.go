package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"barista/fleet"
)

const anID = "01JD8Z4V9G5Q6R7S8T9VAWBXCY"

var (
	zoe      = fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}
	zoeLater = fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b2"} // the same card after a reboot
	zoeAnew  = fleet.Owner{Machine: "zoe", Journal: "j2", Boot: "b1"} // a fresh card under the old name
	leo      = fleet.Owner{Machine: "leo", Journal: "j9", Boot: "b9"}
	avoidZoe = &fleet.Avoid{Machine: "zoe", Until: time.Unix(1000, 0).UTC()}
)

// move is one method of a claim with its arguments.
type move struct {
	name string
	do   func(fleet.Claim) (fleet.Claim, error)
}

func end(o fleet.Owner, out fleet.Outcome) func(fleet.Claim) (fleet.Claim, error) {
	return func(c fleet.Claim) (fleet.Claim, error) {
		return c.End(o, out, fleet.Reason{Text: "reason"}, 40, avoidZoe)
	}
}

// moves are all arrows, made by zoe where a machine makes them.
var moves = []move{
	{"take", func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) }},
	{"give up", func(c fleet.Claim) (fleet.Claim, error) { return c.GiveUp(zoe) }},
	{"fence", func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }},
	{"release", func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{Text: "no cup"}, avoidZoe) }},
	{"made", end(zoe, fleet.Made)},
	{"spoiled", end(zoe, fleet.Spoiled)},
	{"untouched", end(zoe, fleet.Untouched)},
	{"end unknown", end(zoe, fleet.OutcomeUnknown)},
	{"park", func(c fleet.Claim) (fleet.Claim, error) { return c.Park("leo", fleet.Reason{Text: "too long"}) }},
	{"doubt", func(c fleet.Claim) (fleet.Claim, error) { return c.Doubt(zoe, fleet.Reason{Text: "begun before"}) }},
	{"cancel", func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Cancelled, "customer", fleet.Reason{}) }},
	{"expire", func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Expired, "controller", fleet.Reason{}) }},
	{"remake", func(c fleet.Claim) (fleet.Claim, error) { return c.Remake() }},
	{"no stock", func(c fleet.Claim) (fleet.Claim, error) { return c.FailStock(fleet.Reason{Code: fleet.CodeOutOfStock}) }},
	{"settle made", func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(true, "lea", fleet.Reason{}) }},
	{"settle not made", func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(false, "lea", fleet.Reason{Text: "dry cup"}) }},
	{"make again", func(c fleet.Claim) (fleet.Claim, error) { return c.MakeAgain("lea") }},
}

// usedUp are the moves after which a machine has the order once too often.
var usedUp = []string{"take", "release", "take", "release", "take", "release", "take"}

// states are the claim's phases, and those that a rule tells apart within one.
var states = []struct {
	name  string
	claim fleet.Claim
}{
	{"accepted", fresh()},
	{"accepted again", step(fresh(), "fence", "untouched")},
	{"no try left", step(fresh(), "take", "release", "take", "release", "take", "release")},
	{"claimed", step(fresh(), "take")},
	{"used up", step(fresh(), usedUp...)},
	{"brewing", step(fresh(), "fence")},
	{"last try", step(fresh(), "take", "release", "take", "release", "take", "fence")},
	{"second try", step(fresh(), "fence", "spoiled", "remake", "fence")},
	{"again", step(fresh(), "fence", "spoiled")},
	{"unknown", step(fresh(), "fence", "park")},
	{"in doubt", step(fresh(), "doubt")},
	{"served", step(fresh(), "fence", "made")},
	{"failed", step(fresh(), "fence", "park", "settle not made")},
	{"cancelled", step(fresh(), "cancel")},
	{"expired", step(fresh(), "expire")},
}

func fresh() fleet.Claim {
	return fleet.Claim{
		Phase: fleet.Accepted, Epoch: 1, Portion: fleet.Items{"arabica": 9}, Via: "request", Answer: fleet.Success(anID), Hash: "h",
		Order: fleet.Order{ID: anID, Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"},
	}
}

// step makes the named moves, all of which must be allowed.
func step(c fleet.Claim, names ...string) fleet.Claim {
	for _, name := range names {
		for _, m := range moves {
			if m.name == name {
				var err error
				if c, err = m.do(c); err != nil {
					panic(name + ": " + err.Error())
				}
				name = ""
			}
		}
		if name != "" {
			panic("no move " + name)
		}
	}
	return c
}

// Every phase against every method: where it leads, or "-" where the rules have
// no such arrow.
func TestArrows(t *testing.T) {
	const table = `
                 | take    give up fence   release  made   spoiled untouched end unknown park    doubt   cancel    expire  remake   no stock settle made settle not made make again
accepted         | claimed -       brewing -        -      -       -         -           -       unknown cancelled expired -        -        -           -               -
accepted again   | claimed -       brewing -        -      -       -         -           -       unknown cancelled expired -        -        -           -               -
no try left      | claimed -       -       -        -      -       -         -           -       unknown cancelled expired -        -        -           -               -
claimed          | -       -       brewing accepted -      -       -         -           -       unknown cancelled expired -        -        -           -               -
used up          | -       failed  -       accepted -      -       -         -           -       unknown cancelled expired -        -        -           -               -
brewing          | -       -       brewing -        served again   accepted  unknown     unknown -       -         -       -        -        -           -               -
last try         | -       -       brewing -        served failed  failed    unknown     unknown -       -         -       -        -        -           -               -
second try       | -       -       brewing -        served failed  accepted  unknown     unknown -       -         -       -        -        -           -               -
again            | -       -       -       -        -      -       -         -           -       -       cancelled expired accepted failed   -           -               -
unknown          | -       -       -       -        served failed  failed    -           -       -       -         -       -        -        served      failed          again
in doubt         | -       -       -       -        served failed  failed    -           -       -       -         -       -        -        served      failed          again
served           | -       -       -       -        -      -       -         -           -       -       -         -       -        -        -           -               -
failed           | -       -       -       -        -      -       -         -           -       -       -         -       -        -        -           -               -
cancelled        | -       -       -       -        -      -       -         -           -       -       -         -       -        -        -           -               -
expired          | -       -       -       -        -      -       -         -           -       -       -         -       -        -        -           -               -
`
	lines := strings.Split(strings.TrimSpace(table), "\n")[1:]
	if len(lines) != len(states) {
		t.Fatalf("%d rows for %d states", len(lines), len(states))
	}
	for i, s := range states {
		name, row, _ := strings.Cut(lines[i], "|")
		want := strings.Fields(row)
		if strings.TrimSpace(name) != s.name || len(want) != len(moves) {
			t.Fatalf("row %q has %d cells; %q and %d wanted", name, len(want), s.name, len(moves))
		}
		for j, m := range moves {
			before := s.claim
			after, err := m.do(s.claim)
			got := string(after.Phase)
			if err != nil {
				got = "-"
				if !errors.Is(err, fleet.ErrNotAllowed) {
					t.Errorf("%s, %s: %v", s.name, m.name, err)
				}
				if d := cmp.Diff(before, after); d != "" {
					t.Errorf("%s, %s: not allowed, and changed: %s", s.name, m.name, d)
				}
			}
			if got != want[j] {
				t.Errorf("%s, %s: came to %s, wanted %s", s.name, m.name, got, want[j])
			}
			if d := cmp.Diff(before, s.claim); d != "" {
				t.Errorf("%s, %s: the receiver changed: %s", s.name, m.name, d)
			}
		}
	}
}

// What a method does beside the phase, and to whom it listens.
func TestArrowsLookAtTheirArguments(t *testing.T) {
	claimed, brewing, unknown := step(fresh(), "take"), step(fresh(), "fence"), step(fresh(), "fence", "park")
	refusedBy := func(c fleet.Claim, f func(fleet.Claim) (fleet.Claim, error)) bool {
		_, err := f(c)
		return errors.Is(err, fleet.ErrNotAllowed)
	}
	for _, o := range []fleet.Owner{leo, zoeLater, zoeAnew} {
		if !refusedBy(claimed, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(o) }) ||
			!refusedBy(brewing, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(o) }) {
			t.Errorf("%v passed zoe's fence", o)
		}
		if !refusedBy(step(fresh(), usedUp...), func(c fleet.Claim) (fleet.Claim, error) { return c.GiveUp(o) }) {
			t.Errorf("%v gave zoe's claim up", o)
		}
	}
	for _, o := range []fleet.Owner{leo, zoeAnew} {
		for _, c := range []fleet.Claim{brewing, unknown} {
			if !refusedBy(c, end(o, fleet.Made)) {
				t.Errorf("%v ended zoe's brew", o)
			}
		}
	}
	for _, c := range []fleet.Claim{brewing, unknown} { // after a reboot zoe says what her journal says
		if c, err := c.End(zoeLater, fleet.Made, fleet.Reason{}, 40, nil); err != nil || c.Phase != fleet.Served || c.Took != 40 {
			t.Errorf("%v, %v s, %v", c.Phase, c.Took, err)
		}
	}
	if !refusedBy(fresh(), func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Served, "x", fleet.Reason{}) }) ||
		!refusedBy(fresh(), func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Failed, "x", fleet.Reason{}) }) {
		t.Error("stop came to an end that is not its own")
	}
	for _, c := range []fleet.Claim{claimed, brewing} { // claimed first, or fenced at once: one attempt
		if c.Attempts != 1 || c.Machine() != "zoe" || !c.Owns(zoe) || c.Owns(zoeLater) {
			t.Errorf("taken: %+v", c)
		}
	}
	if c := step(claimed, "fence"); c.Attempts != 1 {
		t.Errorf("the fence of a claimed order counts as an attempt of its own: %+v", c)
	}
	again := step(brewing, "spoiled")
	want := []fleet.Past{{Epoch: 1, Machine: "zoe", Fenced: true, Outcome: fleet.Spoiled, Took: 40, Reason: fleet.Reason{Text: "reason"}}}
	if d := cmp.Diff(want, again.Past); d != "" || again.Epoch != 1 || again.Owner != nil || again.Avoid != avoidZoe || again.Outcome != "" {
		t.Errorf("after a spoiled drink: %+v %s", again, d)
	}
	remade := step(again, "remake")
	if remade.Epoch != 2 || remade.Avoid != avoidZoe || remade.Attempts != 1 || len(remade.Past) != 1 {
		t.Errorf("to be made again: %+v", remade)
	}
	if c := step(remade, "fence"); c.Avoid != nil || c.Attempts != 2 {
		t.Errorf("taken in spite of avoid: %+v", c)
	}
	if c := step(claimed, "release"); c.Past[0].Fenced || c.Epoch != 2 {
		t.Errorf("released: %+v", c)
	}
	if c := step(remade, "fence", "spoiled"); c.Phase != fleet.Failed || c.Outcome != fleet.Spoiled {
		t.Errorf("a second spoiled drink: %+v", c)
	}
	if c := step(unknown, "make again"); c.Attempts != 0 || c.By != "lea" || c.Epoch != 1 || c.Owner != nil {
		t.Errorf("made again: %+v", c)
	}
	// Whoever parked it, or had it made again, is not who says how it came out.
	for _, c := range []fleet.Claim{step(unknown, "made"), step(unknown, "spoiled"), step(unknown, "make again", "remake", "fence", "made")} {
		if c.By != "" || c.Machine() != "zoe" || !c.Phase.Ended() {
			t.Errorf("told by its machine: %+v", c)
		}
	}
	if c := step(fresh(), "doubt"); c.Epoch != 101 || !c.Owns(zoe) {
		t.Errorf("in doubt: %+v", c)
	}
	if c := fleet.Orphan(fresh().Order, fresh().Portion, "controller", fleet.Reason{Code: fleet.CodeNoRecord}); c.Phase != fleet.Unknown || c.Epoch != 101 || c.Hash != c.Order.Hash() {
		t.Errorf("an orphan: %+v", c)
	}
}

func TestMessageID(t *testing.T) {
	for _, test := range []struct {
		claim fleet.Claim
		id    string
	}{
		{fresh(), anID},
		{step(fresh(), "fence", "spoiled"), anID},
		{step(fresh(), "fence", "spoiled", "remake"), anID + "#e2"},
	} {
		if got := test.claim.MessageID(); got != test.id {
			t.Errorf("%s: message id %s, wanted %s", test.claim.Phase, got, test.id)
		}
		if id, ours := fleet.OrderOfMessage(test.claim.MessageID()); id != anID || !ours {
			t.Errorf("%s, %v", id, ours)
		}
	}
}

// What each claim means for the stock, in portions.
func TestPortions(t *testing.T) {
	for _, test := range []struct {
		name  string
		claim fleet.Claim
		want  string // reserved, used, wasted
	}{
		{"accepted", fresh(), "1 0 0"},
		{"claimed", step(fresh(), "take"), "1 0 0"},
		{"brewing", step(fresh(), "fence"), "1 0 0"},
		{"served", step(fresh(), "fence", "made"), "0 1 0"},
		{"cancelled", step(fresh(), "cancel"), "0 0 0"},
		{"expired", step(fresh(), "take", "expire"), "0 0 0"},
		{"attempts used up", step(step(fresh(), usedUp...), "give up"), "0 0 0"},
		{"untouched, and again", step(fresh(), "fence", "untouched"), "1 0 0"},
		{"unknown", step(fresh(), "fence", "park"), "0 1 0"},
		{"in doubt", step(fresh(), "doubt"), "0 1 0"},
		{"unknown, then made", step(fresh(), "fence", "park", "settle made"), "0 1 0"},
		{"unknown, then not made", step(fresh(), "fence", "park", "settle not made"), "0 0 0"},
		{"unknown, then spoiled by the journal", step(fresh(), "fence", "park", "spoiled"), "0 0 1"},
		{"unknown, then untouched by the journal", step(fresh(), "fence", "park", "untouched"), "0 0 0"},
		{"spoiled: nothing is promised yet", step(fresh(), "fence", "spoiled"), "0 0 1"},
		{"spoiled, and reserved anew", step(fresh(), "fence", "spoiled", "remake"), "1 0 1"},
		{"spoiled, then served", step(fresh(), "fence", "spoiled", "remake", "fence", "made"), "0 1 1"},
		{"spoiled twice", step(fresh(), "fence", "spoiled", "remake", "fence", "spoiled"), "0 0 2"},
		{"spoiled, and no beans left", step(fresh(), "fence", "spoiled", "no stock"), "0 0 1"},
		{"spoiled, and cancelled", step(fresh(), "fence", "spoiled", "cancel"), "0 0 1"},
		{"made again", step(fresh(), "fence", "park", "make again"), "0 1 0"},
		{"made again, unknown again", step(fresh(), "fence", "park", "make again", "remake", "fence", "park"), "0 2 0"},
	} {
		reserved, used, wasted := test.claim.Portions()
		if got := fmt.Sprint(reserved, used, wasted); got != test.want {
			t.Errorf("%s: %s, wanted %s", test.name, got, test.want)
		}
	}
}

// What each record tells the world. A foreign program that follows the events sees
// each of an order's tries.
func TestEventsOfAClaim(t *testing.T) {
	for _, test := range []struct {
		name  string
		claim fleet.Claim
		want  string
	}{
		{"accepted", fresh(), "accepted"},
		{"claimed", step(fresh(), "take"), "claimed-1"},
		{"released", step(fresh(), "take", "release"), "released-1"},
		{"brewing", step(fresh(), "fence"), "brewing-1"},
		{"untouched", step(fresh(), "fence", "untouched"), "end-1"},
		{"spoiled", step(fresh(), "fence", "spoiled"), "end-1"},
		{"reserved anew", step(fresh(), "fence", "spoiled", "remake"), ""},
		{"spoiled twice", step(fresh(), "fence", "spoiled", "remake", "fence", "spoiled"), "end-2 failed"},
		{"no beans left", step(fresh(), "fence", "spoiled", "no stock"), "failed"},
		{"served", step(fresh(), "fence", "made"), "served"},
		{"unknown", step(fresh(), "fence", "park"), "unknown-1"},
		{"in doubt", step(fresh(), "doubt"), "unknown-101"},
		{"not made, a person says", step(fresh(), "fence", "park", "settle not made"), "failed"},
		{"a person wants it again", step(fresh(), "fence", "park", "make again"), ""},
		{"and it can be", step(fresh(), "fence", "park", "make again", "remake"), "again-2"},
		{"given up", step(step(fresh(), usedUp...), "give up"), "end-4 failed"},
		{"cancelled", step(fresh(), "cancel"), "cancelled"},
		{"expired", step(fresh(), "expire"), "expired"},
	} {
		var got []string
		for _, e := range test.claim.Events() {
			got = append(got, e.Slot())
			if e.Order != anID {
				t.Errorf("%s: %+v", test.name, e)
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s: tells %q, wanted %q", test.name, s, test.want)
		}
	}
	if e := step(fresh(), "fence", "made").Events()[0]; e.Seconds != 40 || e.Machine != "zoe" || e.Outcome != fleet.Made {
		t.Errorf("served: %+v", e)
	}
	if e := fresh().Events()[0]; e.Name != "Ada" || e.What == nil || e.Portion["arabica"] != 9 {
		t.Errorf("accepted: %+v", e)
	}
}

func anyArrow(t *rapid.T) move {
	return moves[rapid.IntRange(0, len(moves)-1).Draw(t, "move")]
}

// Random arrows: ends are final, the epoch never falls, and what is available of
// the stock falls by an act only.
func TestWalk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := fresh()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m := anyArrow(t)
			was := keep(t, c)
			next, err := m.do(c)
			if d := cmp.Diff(was, keep(t, c)); d != "" {
				t.Fatalf("%s changed the receiver: %s", m.name, d)
			}
			if err != nil {
				if d := cmp.Diff(c, next); d != "" {
					t.Fatalf("%s was refused and changed the claim: %s", m.name, d)
				}
				continue
			}
			switch {
			case c.Phase.Ended():
				t.Fatalf("%s: %s is an end, and became %s", m.name, c.Phase, next.Phase)
			case next.Epoch != c.Epoch && next.Epoch != c.Epoch+1 && m.name != "doubt":
				t.Fatalf("%s: epoch %d became %d", m.name, c.Epoch, next.Epoch)
			case next.Epoch == c.Epoch+1 && (next.Phase != fleet.Accepted || next.Owner != nil || len(next.Past) == 0):
				t.Fatalf("%s: a new epoch begins as %+v", m.name, next)
			case next.Attempts != c.Attempts+1 && (m.name == "take" || m.name == "fence" && c.Phase == fleet.Accepted),
				m.name == "make again" && next.Attempts != 0,
				next.Attempts != c.Attempts && m.name != "take" && m.name != "fence" && m.name != "make again":
				t.Fatalf("%s: attempts %d became %d", m.name, c.Attempts, next.Attempts)
			case next.Phase == fleet.Brewing && !next.Owns(zoe):
				t.Fatalf("%s: brewing without owner", m.name)
			}
			accounts(t, m.name, c, next)
			c = next
		}
	})
}

// keep is a deep copy, made as the store makes it.
func keep(t *rapid.T, c fleet.Claim) fleet.Claim {
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var out fleet.Claim
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, out); d != "" {
		t.Fatalf("the claim is not the same after the store: %s", d)
	}
	return out
}

// accounts checks rule 2: what lowers what is available is an act, and those are
// create and remake; an end leaves nothing reserved; and what was used or wasted
// never comes back, but for an unknown that proved untouched or spoiled.
func accounts(t *rapid.T, move string, was, is fleet.Claim) {
	r0, u0, w0 := was.Portions()
	r1, u1, w1 := is.Portions()
	if r1+u1+w1 > r0+u0+w0 && move != "remake" && move != "doubt" {
		t.Fatalf("%s takes from the stock: %d %d %d became %d %d %d", move, r0, u0, w0, r1, u1, w1)
	}
	if is.Phase.Ended() && r1 != 0 {
		t.Fatalf("%s leaves something reserved", is.Phase)
	}
	if w1 < w0 || u1 < u0 && was.Phase != fleet.Unknown {
		t.Fatalf("%s gives back what was used: %d %d became %d %d", move, u0, w0, u1, w1)
	}
}

// A claim from before there were codes is read with its words, and written back
// as it was.
func TestClaimWithoutACode(t *testing.T) {
	const old = `{"phase":"failed","order":{"name":"Ada","size":"small","bean_type":"arabica","milk":"free","sugar_count":0},` +
		`"hash":"h","doses":{"arabica":9},"answer":{"status":"success","message":"m"},"epoch":2,"attempts":3,"outcome":"spoiled",` +
		`"reason":"no-grind: The grinder turns and nothing comes: jammed, or the hopper is empty.","by":"max",` +
		`"past":[{"epoch":1,"machine":"zoe","outcome":"spoiled","reason":"door: The door is open."}]}`
	var c fleet.Claim
	if err := json.Unmarshal([]byte(old), &c); err != nil {
		t.Fatal(err)
	}
	if c.Code != "" || !strings.HasPrefix(c.Text, "no-grind: ") || c.Past[0].Text != "door: The door is open." {
		t.Errorf("%+v", c)
	}
	if e := c.Events(); len(e) != 1 || e[0].Reason != c.Reason {
		t.Errorf("its end says %+v", e)
	}
	b, err := json.Marshal(c)
	if err != nil || string(b) != old {
		t.Errorf("%s, %v", b, err)
	}
	c.Reason = fleet.Reason{Code: "sensor", Detail: "tank", Quote: "timeout", Text: "all of it"}
	if b, _ := json.Marshal(c); !strings.Contains(string(b), `"code":"sensor","detail":"tank","quote":"timeout","reason":"all of it"`) {
		t.Errorf("%s", b)
	}
}
