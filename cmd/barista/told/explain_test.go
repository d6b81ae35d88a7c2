package told

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/words"
)

var update = flag.Bool("update", false, "write the golden files anew")

func init() { time.Local = time.UTC } // goldens hold clock times

var (
	began = time.Date(2026, 11, 30, 3, 4, 0, 0, time.UTC)
	zoe   = fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}
	moka  = fleet.Owner{Machine: "moka", Journal: "j2", Boot: "b2"}
)

const orderID = "01JD000000000000000007QXR0"

// tale is an order's records in the making, one every minute.
type tale struct {
	t       *testing.T
	now     fleet.Claim
	records []fleet.Entry
}

func newTale(t *testing.T, name string) *tale {
	a := fleet.Success(orderID)
	a.Position, a.ETA = 2, []int{40, 60}
	o := fleet.Order{ID: orderID, Name: name, Size: fleet.Large, Bean: "mixed", Milk: "normal", Sugar: 1}
	x := &tale{t: t, now: fleet.Create(o, fleet.Items{"mixed": 30, "milk-normal": 60, "sugar": 1}, a, "web")}
	return x.keep()
}

func (x *tale) keep() *tale {
	at := began.Add(time.Duration(len(x.records)) * time.Minute)
	x.records = append(x.records, fleet.Entry{Claim: x.now, Written: at})
	return x
}

// then writes what an arrow makes of the claim.
func (x *tale) then(n fleet.Claim, err error) *tale {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
	x.now = n
	return x.keep()
}

func reason(code, detail string) fleet.Reason {
	return fleet.Reason{Code: code, Detail: detail, Text: words.Line("en", code, detail, "")}
}

// told is how barista why prints it.
func (x *tale) told(all ...fleet.Machine) (string, client.Account) {
	last := x.records[len(x.records)-1]
	reserved, used, wasted := last.Portions()
	times := func(n int) fleet.Items {
		out := fleet.Items{}
		for item, dose := range last.Portion {
			if n > 0 {
				out[item] = n * dose
			}
		}
		return out
	}
	a := client.Account{
		Order: last.Order, Phase: last.Phase, Told: last.Answer, By: last.By,
		Reserved: times(reserved), Consumed: times(used), Wasted: times(wasted),
	}
	for _, e := range x.records {
		a.Events = append(a.Events, client.EventsOf(e)...)
	}
	a.Story, a.Next = Explain(Case{Account: a, Meant: client.Meant{Entry: last, Ref: "QXR0"}, Machines: all})
	var b bytes.Buffer
	PrintStory(&b, a)
	return b.String(), a
}

// at is a machine that makes everything.
func at(o fleet.Owner, state fleet.State, change func(*fleet.Machine)) fleet.Machine {
	m := fleet.Machine{Here: true, Presence: fleet.Presence{
		Machine: o.Machine, Owner: o, Classes: fleet.DefaultMenu().Classes(), Sizes: fleet.Sizes, State: state, Cup: "sensor",
	}}
	if change != nil {
		change(&m)
	}
	return m
}

func away(o fleet.Owner) fleet.Machine {
	return at(o, "", func(m *fleet.Machine) { m.Here, m.Seen = false, began.Add(-time.Hour) })
}

func cordoned(m *fleet.Machine) { m.Cordon = &fleet.Cordon{By: "ann@till", Reason: "new grinder"} }

func jammed(m *fleet.Machine) {
	m.Code, m.Detail = "no-flow", "0.0/120 ml"
}

// TestExplain: what a person reads at 3 am, order by order. Read the golden files aloud.
func TestExplain(t *testing.T) {
	ready := []fleet.Machine{at(moka, fleet.StateReady, nil), at(zoe, fleet.StateReady, nil)}
	claim := func(x *tale) *tale { return x.then(x.now.Take(zoe)) }
	fence := func(x *tale, o fleet.Owner) *tale { return x.then(x.now.Fence(o)) }
	end := func(x *tale, o fleet.Owner, out fleet.Outcome, r fleet.Reason) *tale {
		return x.then(x.now.End(o, out, r, 42, nil))
	}
	cut := reason("cut-off", "")
	for name, told := range map[string]func(x *tale) []fleet.Machine{
		"waits": func(x *tale) []fleet.Machine { return ready },
		"waits-for-nobody": func(x *tale) []fleet.Machine {
			return []fleet.Machine{at(moka, fleet.StateReady, cordoned), at(zoe, fleet.StateFault, jammed)}
		},
		"waits-blind": func(x *tale) []fleet.Machine { return nil },
		"waits-for-a-cup": func(x *tale) []fleet.Machine {
			claim(x)
			return []fleet.Machine{at(zoe, fleet.StateWaiting, func(m *fleet.Machine) { m.Cup = "page" })}
		},
		"made": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.Made, fleet.Reason{})
			return ready
		},
		"in-hand-and-gone": func(x *tale) []fleet.Machine {
			fence(x, zoe)
			return []fleet.Machine{at(moka, fleet.StateReady, nil), away(zoe)}
		},
		"redelivered": func(x *tale) []fleet.Machine {
			claim(x)
			x.then(x.now.Release(reason(fleet.CodeNotInHand, "zoe"), nil))
			end(fence(x, moka), moka, fleet.Made, fleet.Reason{})
			return []fleet.Machine{at(moka, fleet.StateReady, nil), away(zoe)}
		},
		"spoiled-and-made": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.Spoiled, reason("no-flow", "0.0/120 ml"))
			x.then(x.now.Remake())
			end(fence(x, moka), moka, fleet.Made, fleet.Reason{})
			return []fleet.Machine{at(moka, fleet.StateReady, nil), at(zoe, fleet.StateFault, jammed)}
		},
		"unknown-cut": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.OutcomeUnknown, cut)
			return ready
		},
		"unknown-away": func(x *tale) []fleet.Machine {
			fence(x, zoe)
			x.then(x.now.Park("sweep", reason(fleet.CodeNotHeard, "zoe")))
			return []fleet.Machine{at(moka, fleet.StateReady, nil), away(zoe)}
		},
		"orphan": func(x *tale) []fleet.Machine {
			x.records = nil
			return x.then(fleet.Orphan(x.now.Order, x.now.Portion, "sweep", reason(fleet.CodeOrphan, "")), nil).nobody(ready)
		},
		"remade": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.OutcomeUnknown, cut)
			x.then(x.now.MakeAgain("ann@till"))
			x.then(x.now.Remake())
			end(fence(x, moka), moka, fleet.Made, fleet.Reason{})
			return ready
		},
		"settled": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.OutcomeUnknown, cut)
			x.then(x.now.Settle(false, "ann@till", fleet.Reason{Code: fleet.CodeSettled, Quote: "the tray was wet"}))
			return ready
		},
		"expired": func(x *tale) []fleet.Machine {
			x.then(x.now.Stop(fleet.Expired, "shop", fleet.Reason{Code: fleet.CodeExpired, Detail: "15m0s", Text: "waited longer than 15m0s"}))
			return []fleet.Machine{at(moka, fleet.StateReady, cordoned), away(zoe)}
		},
		"expired-and-nobody-makes-it": func(x *tale) []fleet.Machine {
			x.then(x.now.Stop(fleet.Expired, "shop", fleet.Reason{Code: fleet.CodeExpired, Detail: "15m0s"}))
			return []fleet.Machine{at(zoe, fleet.StateReady, func(m *fleet.Machine) { m.Classes = m.Classes[:1] })}
		},
		"failed": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.Spoiled, reason("no-flow", "0.0/120 ml"))
			x.then(x.now.Remake())
			end(fence(x, zoe), zoe, fleet.Spoiled, reason("no-flow", "3.0/120 ml"))
			return []fleet.Machine{at(moka, fleet.StateReady, nil), at(zoe, fleet.StateFault, jammed)}
		},
		"failed-otherwise": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.Spoiled, reason("no-flow", "0.0/120 ml"))
			x.then(x.now.Remake())
			end(fence(x, moka), moka, fleet.Spoiled, reason("cup-gone", ""))
			return ready
		},
		"failed-for-stock": func(x *tale) []fleet.Machine {
			end(fence(x, zoe), zoe, fleet.Spoiled, reason("cup-gone", ""))
			x.then(x.now.FailStock(reason(fleet.CodeOutOfStock, "mixed")))
			return ready
		},
		"cancelled": func(x *tale) []fleet.Machine {
			x.then(x.now.Stop(fleet.Cancelled, "ann@till", reason(fleet.CodeCancelled, "ann@till")))
			return ready
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTale(t, "Zoë Smith")
			all := told(x)
			got, a := x.told(all...)
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !strings.Contains(line, "next: ") {
					t.Errorf("%d characters: %s", n, line)
				}
			}
			if len(a.Next) == 0 {
				t.Error("no command to type")
			}
			file := filepath.Join("testdata", "why", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || got != string(want) {
				t.Errorf("%v\n--- got\n%s--- want\n%s", err, got, want)
			}
		})
	}
}

func (x *tale) nobody(all []fleet.Machine) []fleet.Machine { return all }

// TestShellName: what a customer calls himself is one word of the line that a person
// pastes, whatever it is.
func TestShellName(t *testing.T) {
	for name, want := range map[string]string{
		"Ada": "Ada", "Zoë Smith": "Zoë Smith", "$(touch x)": "touch x", "a`id`b": "aidb", "'; rm -rf /": "rm -rf", "--json": "json",
		"!!": "guest", "Ann-Mary_2": "Ann-Mary_2", "O'Hara": "OHara", "a\\b\n;c": "abc", "*": "guest", "~root": "root",
	} {
		out, err := exec.Command("sh", "-c", "printf '<%s>' "+shellName(name)).Output()
		if err != nil || string(out) != "<"+want+">" {
			t.Errorf("%q becomes %s: the shell hears %s, want <%s> (%v)", name, shellName(name), out, want, err)
		}
	}
}
