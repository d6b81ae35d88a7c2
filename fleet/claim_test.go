package fleet_test

import (
	"encoding/json"
	"errors"
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
	return func(c fleet.Claim) (fleet.Claim, error) { return c.End(o, out, fleet.Reason{Text: "reason"}, avoidZoe) }
}

// moves are all arrows, made by zoe where a machine makes them.
var moves = []move{
	{"mark", func(c fleet.Claim) (fleet.Claim, error) { return c.Mark(c.MessageID()) }},
	{"refuse", func(c fleet.Claim) (fleet.Claim, error) {
		return c.Refuse(fleet.Sorry(anID, fleet.CodeOutOfStock, "none"))
	}},
	{"take", func(c fleet.Claim) (fleet.Claim, error) { return c.Take(zoe) }},
	{"give up", func(c fleet.Claim) (fleet.Claim, error) { return c.GiveUp(zoe) }},
	{"fence", func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(zoe) }},
	{"release", func(c fleet.Claim) (fleet.Claim, error) { return c.Release(fleet.Reason{Text: "no cup"}, avoidZoe) }},
	{"made", end(zoe, fleet.Made)},
	{"spoiled", end(zoe, fleet.Spoiled)},
	{"untouched", end(zoe, fleet.Untouched)},
	{"end unknown", end(zoe, fleet.OutcomeUnknown)},
	{"park", func(c fleet.Claim) (fleet.Claim, error) { return c.Park("leo", fleet.Reason{Text: "too long"}) }},
	{"cancel", func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Cancelled, "customer", fleet.Reason{}) }},
	{"expire", func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Expired, "controller", fleet.Reason{}) }},
	{"no stock", func(c fleet.Claim) (fleet.Claim, error) { return c.FailStock(fleet.Reason{Code: fleet.CodeOutOfStock}) }},
	{"settle made", func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(true, "lea", fleet.Reason{}) }},
	{"settle not made", func(c fleet.Claim) (fleet.Claim, error) { return c.Settle(false, "lea", fleet.Reason{Text: "dry cup"}) }},
	{"make again", func(c fleet.Claim) (fleet.Claim, error) { return c.MakeAgain("lea") }},
}

// states are the claim's phases, and those that a rule tells apart within one.
var states = []struct {
	name  string
	claim fleet.Claim
}{
	{"accepted", fresh()},
	{"marked", step(fresh(), "mark")},
	{"accepted again", step(fresh(), "take", "release")},
	{"claimed", step(fresh(), "take")},
	{"used up", step(fresh(), "take", "release", "take", "release", "take", "release", "take")},
	{"brewing", step(fresh(), "take", "fence")},
	{"last try", step(fresh(), "take", "release", "take", "release", "take", "fence")},
	{"unknown", step(fresh(), "take", "fence", "park")},
	{"served", step(fresh(), "take", "fence", "made")},
	{"failed", step(fresh(), "take", "fence", "park", "settle not made")},
	{"cancelled", step(fresh(), "cancel")},
	{"expired", step(fresh(), "expire")},
	{"refused", step(fresh(), "refuse")},
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
                 | mark     refuse  take    give up fence   release  made   spoiled  untouched end unknown park    cancel    expire  no stock settle made settle not made make again
accepted         | accepted refused claimed -       -       -        -      -        -         -           -       cancelled expired -        -           -               -
marked           | accepted -       claimed -       -       -        -      -        -         -           -       cancelled expired -        -           -               -
accepted again   | accepted -       claimed -       -       -        -      -        -         -           -       cancelled expired failed   -           -               -
claimed          | -        -       -       -       brewing accepted -      -        -         -           -       cancelled expired -        -           -               -
used up          | -        -       -       failed  -       accepted -      -        -         -           -       cancelled expired -        -           -               -
brewing          | -        -       -       -       brewing -        served accepted accepted  unknown     unknown -         -       -        -           -               -
last try         | -        -       -       -       brewing -        served failed   failed    unknown     unknown -         -       -        -           -               -
unknown          | -        -       -       -       -       -        served failed   failed    -           -       -         -       -        served      failed          accepted
served           | -        -       -       -       -       -        -      -        -         -           -       -         -       -        -           -               -
failed           | -        -       -       -       -       -        -      -        -         -           -       -         -       -        -           -               -
cancelled        | -        -       -       -       -       -        -      -        -         -           -       -         -       -        -           -               -
expired          | -        -       -       -       -       -        -      -        -         -           -       -         -       -        -           -               -
refused          | -        -       -       -       -       -        -      -        -         -           -       -         -       -        -           -               -
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
	claimed, brewing, unknown := step(fresh(), "take"), step(fresh(), "take", "fence"), step(fresh(), "take", "fence", "park")
	refusedBy := func(c fleet.Claim, f func(fleet.Claim) (fleet.Claim, error)) bool {
		_, err := f(c)
		return errors.Is(err, fleet.ErrNotAllowed)
	}
	for _, o := range []fleet.Owner{leo, zoeLater, zoeAnew} {
		if !refusedBy(claimed, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(o) }) ||
			!refusedBy(brewing, func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(o) }) {
			t.Errorf("%v passed zoe's fence", o)
		}
		if !refusedBy(step(fresh(), "take", "release", "take", "release", "take", "release", "take"), func(c fleet.Claim) (fleet.Claim, error) { return c.GiveUp(o) }) {
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
		if c, err := c.End(zoeLater, fleet.Made, fleet.Reason{}, nil); err != nil || c.Phase != fleet.Served {
			t.Errorf("%v, %v", c.Phase, err)
		}
	}
	if !refusedBy(fresh(), func(c fleet.Claim) (fleet.Claim, error) { return c.Mark(anID + "#e2") }) {
		t.Error("marked with an id that the claim does not want")
	}
	if !refusedBy(fresh(), func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Served, "x", fleet.Reason{}) }) ||
		!refusedBy(fresh(), func(c fleet.Claim) (fleet.Claim, error) { return c.Stop(fleet.Failed, "x", fleet.Reason{}) }) {
		t.Error("stop came to an end that is not its own")
	}
	if c := claimed; c.Attempts != 1 || c.Machine() != "zoe" || !c.Owns(zoe) || c.Owns(zoeLater) {
		t.Errorf("taken: %+v", c)
	}
	again := step(brewing, "spoiled")
	want := []fleet.Past{{Epoch: 1, Use: 0, Machine: "zoe", Outcome: fleet.Spoiled, Reason: fleet.Reason{Text: "reason"}}}
	if d := cmp.Diff(want, again.Past); d != "" || again.Epoch != 2 || again.Use != 1 || again.Owner != nil || again.Avoid != avoidZoe || again.Outcome != "" {
		t.Errorf("after a spoiled drink: %+v %s", again, d)
	}
	if c := step(again, "take"); c.Avoid != nil || c.Attempts != 2 {
		t.Errorf("taken in spite of avoid: %+v", c)
	}
	if c := step(brewing, "untouched"); c.Use != 0 || c.Epoch != 2 {
		t.Errorf("an untouched start used stock: %+v", c)
	}
	if c := step(again, "take", "fence", "spoiled"); c.Phase != fleet.Failed || c.Outcome != fleet.Spoiled {
		t.Errorf("a second spoiled drink: %+v", c)
	}
	if c := step(unknown, "make again"); c.Attempts != 0 || c.Published != "" || c.Use != 1 || c.By != "lea" || c.Epoch != 2 {
		t.Errorf("made again: %+v", c)
	}
	if c := step(unknown, "untouched"); c.Phase != fleet.Failed || c.Outcome != fleet.Untouched || c.Use != 0 {
		t.Errorf("an unknown that was untouched is not remade by itself: %+v", c)
	}
}

func TestMessageIDMarkedSaid(t *testing.T) {
	later := step(fresh(), "mark", "take", "fence", "park", "make again")
	for _, test := range []struct {
		name         string
		claim        fleet.Claim
		id           string
		marked, said bool
	}{
		{"fresh", fresh(), anID, false, false},
		{"marked", step(fresh(), "mark"), anID, true, true},
		{"taken before it was marked", step(fresh(), "take"), anID, false, true},
		{"given back before it was marked", step(fresh(), "take", "release"), anID, false, true},
		{"refused", step(fresh(), "refuse"), anID, false, false},
		{"cancelled before it was marked", step(fresh(), "cancel"), anID, false, true},
		{"spoiled: the same message comes back", step(fresh(), "mark", "take", "fence", "spoiled"), anID, true, true},
		{"made again: a message of its own", later, anID + "#e2", false, true},
		{"made again and marked", step(later, "mark"), anID + "#e2", true, true},
		{"and given back: still that message", step(later, "mark", "take", "release", "take", "fence", "untouched"), anID + "#e2", true, true},
		{"made again twice", step(later, "take", "release", "take", "fence", "park", "make again"), anID + "#e4", false, true},
		{"served", step(fresh(), "take", "fence", "made"), anID, false, true},
	} {
		if got := test.claim.MessageID(); got != test.id {
			t.Errorf("%s: message id %s, wanted %s", test.name, got, test.id)
		}
		if test.claim.Marked() != test.marked || test.claim.Said() != test.said {
			t.Errorf("%s: marked %v, said %v", test.name, test.claim.Marked(), test.claim.Said())
		}
	}
}

func TestBookings(t *testing.T) {
	for _, test := range []struct {
		name  string
		claim fleet.Claim
		want  string // acts by use
	}{
		{"accepted: the controller reserves", fresh(), ""},
		{"brewing", step(fresh(), "take", "fence"), ""},
		{"served", step(fresh(), "take", "fence", "made"), "0 consume"},
		{"cancelled", step(fresh(), "cancel"), "0 release"},
		{"expired", step(fresh(), "take", "expire"), "0 release"},
		{"refused", step(fresh(), "refuse"), "0 release"},
		{"attempts used up", step(fresh(), "take", "release", "take", "release", "take", "release", "take", "give up"), "0 release"},
		{"untouched, and again", step(fresh(), "take", "fence", "untouched"), ""},
		{"unknown", step(fresh(), "take", "fence", "park"), "0 consume"},
		{"unknown, then made", step(fresh(), "take", "fence", "park", "settle made"), "0 consume"},
		{"unknown, then not made", step(fresh(), "take", "fence", "park", "settle not made"), "0 release"},
		{"unknown, then spoiled by the journal", step(fresh(), "take", "fence", "park", "spoiled"), "0 waste"},
		{"unknown, then untouched by the journal", step(fresh(), "take", "fence", "park", "untouched"), "0 release"},
		{"spoiled: waste, and the next use", step(fresh(), "take", "fence", "spoiled"), "0 waste, 1 reserve"},
		{"spoiled, then served", step(fresh(), "take", "fence", "spoiled", "take", "fence", "made"), "0 waste, 1 consume"},
		{"spoiled twice", step(fresh(), "take", "fence", "spoiled", "take", "fence", "spoiled"), "0 waste, 1 waste"},
		{"spoiled, and no beans left", step(fresh(), "take", "fence", "spoiled", "no stock"), "0 waste, 1 release"},
		{"made again", step(fresh(), "take", "fence", "park", "make again"), "0 consume, 1 reserve"},
		{"made again, unknown again", step(fresh(), "take", "fence", "park", "make again", "take", "fence", "park"), "0 consume, 1 consume"},
	} {
		var got []string
		for _, b := range test.claim.Bookings() {
			got = append(got, string('0'+rune(b.Use))+" "+string(b.Act))
			if b.Order != anID || !cmp.Equal(b.Items, test.claim.Portion) {
				t.Errorf("%s: %+v", test.name, b)
			}
		}
		if s := strings.Join(got, ", "); s != test.want {
			t.Errorf("%s: books %q, wanted %q", test.name, s, test.want)
		}
	}
}

func anyArrow(t *rapid.T) move {
	return moves[rapid.IntRange(0, len(moves)-1).Draw(t, "move")]
}

// Random arrows: ends are final, the epoch never falls, uses only grow, and what
// the ledger must hold can be said at any moment.
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
			case next.Epoch != c.Epoch && next.Epoch != c.Epoch+1:
				t.Fatalf("%s: epoch %d became %d", m.name, c.Epoch, next.Epoch)
			case next.Epoch > c.Epoch && (next.Phase != fleet.Accepted || next.Owner != nil || len(next.Past) != len(c.Past)+1):
				t.Fatalf("%s: a new epoch begins as %+v", m.name, next)
			case next.Use != c.Use && (next.Use != c.Use+1 || next.Epoch == c.Epoch):
				t.Fatalf("%s: use %d became %d", m.name, c.Use, next.Use)
			case m.name == "take" && next.Attempts != c.Attempts+1,
				m.name == "make again" && next.Attempts != 0,
				m.name != "take" && m.name != "make again" && next.Attempts != c.Attempts:
				t.Fatalf("%s: attempts %d became %d", m.name, c.Attempts, next.Attempts)
			case c.Said() && !next.Said():
				t.Fatalf("%s: success was said of %s, and can't be said of %s", m.name, c.Phase, next.Phase)
			case len(next.Past) != next.Epoch-1:
				t.Fatalf("%s: epoch %d with %d outcomes before", m.name, next.Epoch, len(next.Past))
			case next.Phase == fleet.Brewing && !next.Owns(zoe):
				t.Fatalf("%s: brewing without owner", m.name)
			}
			c = next
			accounts(t, c)
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

// accounts checks that each use is booked at most once, every former use has an
// end, and an ended claim leaves nothing reserved.
func accounts(t *rapid.T, c fleet.Claim) {
	acts := map[int]fleet.Act{}
	for _, b := range c.Bookings() {
		if _, twice := acts[b.Use]; twice {
			t.Fatalf("use %d is booked twice: %+v", b.Use, c.Bookings())
		}
		acts[b.Use] = b.Act
	}
	for use := range c.Use {
		if a := acts[use]; a != fleet.Consume && a != fleet.Waste {
			t.Fatalf("the former use %d is booked as %q", use, a)
		}
	}
	if a := acts[c.Use]; c.Phase.Ended() && a != fleet.Consume && a != fleet.Waste && a != fleet.Release {
		t.Fatalf("%s leaves use %d as %q", c.Phase, c.Use, a)
	}
	if (c.Phase == fleet.Served) != (c.Phase.Ended() && acts[c.Use] == fleet.Consume) {
		t.Fatalf("%s books %q", c.Phase, acts[c.Use])
	}
}

// A claim from before there were codes is read with its words, and written back
// as it was.
func TestClaimWithoutACode(t *testing.T) {
	const old = `{"phase":"failed","order":{"name":"Ada","size":"small","bean_type":"arabica","milk":"free","sugar_count":0},` +
		`"hash":"h","doses":{"arabica":9},"answer":{"status":"success","message":"m"},"epoch":2,"use":1,"attempts":3,"outcome":"spoiled",` +
		`"reason":"no-grind: The grinder turns and nothing comes: jammed, or the hopper is empty.","by":"max",` +
		`"past":[{"epoch":1,"use":0,"machine":"zoe","outcome":"spoiled","reason":"door: The door is open."}]}`
	var c fleet.Claim
	if err := json.Unmarshal([]byte(old), &c); err != nil {
		t.Fatal(err)
	}
	if c.Code != "" || !strings.HasPrefix(c.Text, "no-grind: ") || c.Past[0].Text != "door: The door is open." {
		t.Errorf("%+v", c)
	}
	if e, _ := c.EndEvent(); e.Reason != c.Reason {
		t.Errorf("its end says %+v", e.Reason)
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
