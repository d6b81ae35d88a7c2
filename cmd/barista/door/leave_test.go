package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/door"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// floor is a shop with one machine, its door and what stands in its book.
type floor struct {
	client.Controller
	zoe     *fleet.Machine
	members []fleet.Member // nil: there is no door
	orders  []fleet.Entry
	stands  fleet.Standing
	fails   string   // the verb of the door that does
	did     []string // what was changed, in turn
}

func (f *floor) Get(context.Context, string) ([]byte, error) { return nil, fleet.ErrNotFound }
func (f *floor) Delete(context.Context, string) error        { panic("nothing is deleted") }

func (f *floor) Put(_ context.Context, key string, v []byte) error {
	var c fleet.Cordon
	err := json.Unmarshal(v, &c)
	f.did = append(f.did, fmt.Sprintf("%s by %s: %s, retired %v, replaced %v", key, c.By, c.Reason, c.Retired, c.Replaced))
	return err
}

func (f *floor) Standing(context.Context) (fleet.Standing, error) { return f.stands, nil }

func (f *floor) GoOn(_ context.Context, machine, by, why string) error {
	f.did = append(f.did, "go on without "+machine)
	return fleet.ErrNotFound
}

func (f *floor) machines(context.Context) (all []fleet.Machine, err error) {
	if f.zoe != nil {
		all = append(all, *f.zoe)
	}
	return all, nil
}

// Request is the shop's door.
func (f *floor) Request(_ context.Context, subject string, body []byte) ([]byte, error) {
	verb := strings.TrimPrefix(subject, "coffee.door.")
	if verb == f.fails {
		return []byte(`{"error":{"code":"refused","message":"the disk is full"}}`), nil
	}
	var a struct{ Kind, Name, By string }
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	switch verb {
	case "members":
		return json.Marshal(map[string]any{"members": f.members})
	case "revoke":
		f.did = append(f.did, "revoke "+a.Kind+" "+a.Name)
		return []byte(`{}`), nil
	case "invite":
		f.did = append(f.did, "invite "+a.Kind+" "+a.Name)
		return []byte(`{"invitation":{"code":"CODE","kind":"machine","name":"zoe"}}`), nil
	}
	return nil, errors.New(verb)
}

// run types barista machine ARGS.
func (f *floor) run(ctx context.Context, args ...string) (out string, err error) {
	shop := client.Shop{Parts: client.Parts{
		Settings: f, Machines: f.machines, Requester: f, Controller: f,
		Orders: func(context.Context) ([]fleet.Entry, error) { return slices.Clone(f.orders), nil },
	}}
	if f.members != nil {
		shop.Door = door.New(f)
	}
	root := &cobra.Command{Use: "machine", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().String("nats", "", "")
	root.AddCommand(Machine(Shell{
		Show: func(cmd *cobra.Command, v any, text func(io.Writer)) error {
			return term.Show(cmd.OutOrStdout(), false, v, text)
		},
		With: func(cmd *cobra.Command, do func(context.Context, client.Shop) error) error {
			return do(cmd.Context(), shop)
		},
		By: func(_ *cobra.Command, by *string) { *by = "ada" },
	})...)
	var o bytes.Buffer
	root.SetOut(&o)
	root.SetErr(&o)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return o.String(), err
}

// TestLeave: who may leave, and what is said and done of it, in which turn; what is
// refused has changed nothing.
func TestLeave(t *testing.T) {
	owner := fleet.Owner{Machine: "zoe", Journal: "j", Boot: "b"}
	at := func(id string, p fleet.Phase, o fleet.Owner) fleet.Entry {
		return fleet.Entry{Claim: fleet.Claim{Order: fleet.Order{ID: id}, Phase: p, Owner: &o}}
	}
	const one, two = "01JD0000000000000000000AAA", "01JD0000000000000000000BBB"
	word := fleet.Presence{Machine: "zoe", Owner: owner, State: fleet.StateCordoned, Drained: "noon"}
	drain := &fleet.Cordon{By: "ada", Reason: "x", Drain: true, At: "noon"}
	parked, away := &fleet.Machine{Presence: word, Here: true, Cordon: drain}, &fleet.Machine{Presence: fleet.Presence{Machine: "zoe"}}
	member := []fleet.Member{{Kind: "operator", Name: "zoe", Own: true}, {Kind: "machine", Name: "zoe"}}
	out := func(more ...string) []string {
		return append([]string{"revoke machine zoe", "go on without zoe"}, more...)
	}
	const retired, replaced = "cordon.zoe by ada: sold, retired true, replaced false", "cordon.zoe by ada: sold, retired false, replaced true"
	for name, x := range map[string]struct {
		floor
		args string
		exit int
		says []string // the error and its hint, or what is printed
		not  string
		did  []string
	}{
		"it may be opened":              {floor{zoe: parked, members: member}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "gives nobody a key", out(retired)},
		"it is away":                    {floor{zoe: away, members: member}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "", out(retired)},
		"its key was revoked before":    {floor{zoe: away, members: member[:1]}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "", []string{"go on without zoe", retired}},
		"it is away for a month":        {floor{members: member}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "", out(retired)},
		"nobody is called so":           {floor{members: member[:1]}, "retire zoe --reason sold", term.ExitNotFound, []string{"no machine zoe", "machine ls"}, "", nil},
		"it is in service":              {floor{zoe: &fleet.Machine{Presence: word, Here: true}, members: member}, "retire zoe --reason sold", term.ExitRefused, []string{"zoe is in service", "machine drain zoe"}, "", nil},
		"it drains":                     {floor{zoe: &fleet.Machine{Presence: word, Here: true, Cordon: &fleet.Cordon{Drain: true, At: "later"}}, members: member}, "retire zoe --reason sold", term.ExitRefused, []string{"has not said that it may be opened", "machine drain zoe"}, "", nil},
		"an order is in its hand":       {floor{zoe: away, members: member, orders: []fleet.Entry{at(one, fleet.Brewing, owner)}}, "retire zoe --reason sold", term.ExitRefused, []string{one + " (brewing)", "machine revoke zoe"}, "barista settle", nil},
		"one is in doubt":               {floor{zoe: parked, members: member, orders: []fleet.Entry{at(one, fleet.Unknown, owner), at(two, fleet.Claimed, owner)}}, "retire zoe --reason sold", term.ExitRefused, []string{one + " (unknown), " + two + " (claimed)", "barista settle " + one + " made|not-made", "machine revoke zoe"}, "", nil},
		"others have orders":            {floor{zoe: away, members: member, orders: []fleet.Entry{at(one, fleet.Brewing, fleet.Owner{Machine: "leo"}), at(two, fleet.Served, owner)}}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "", out(retired)},
		"the shop waits for its word":   {floor{zoe: away, members: member, stands: fleet.Standing{State: fleet.StandRollCall, Missing: []string{"zoe"}}}, "retire zoe --reason sold", term.ExitRefused, []string{"waits for what zoe knows", "give-up zoe"}, "", nil},
		"it waits for another's":        {floor{zoe: away, members: member, stands: fleet.Standing{State: fleet.StandRollCall, Missing: []string{"leo"}}}, "retire zoe --reason sold", 0, []string{"zoe is retired"}, "", out(retired)},
		"the shop is closed":            {floor{zoe: away, members: member, stands: fleet.Standing{State: fleet.StandClosed, Why: "it went back"}}, "replace zoe --reason sold", term.ExitRefused, []string{"not now: it went back"}, "", nil},
		"its key is the shop's own":     {floor{zoe: away, members: []fleet.Member{{Kind: "machine", Name: "zoe", Own: true}}}, "replace zoe --reason sold", term.ExitRefused, []string{"the shop's own key"}, "", nil},
		"its key can't be taken away":   {floor{zoe: parked, members: member, fails: "revoke"}, "replace zoe --reason sold", term.ExitFailed, []string{"the disk is full"}, "", nil},
		"new hardware":                  {floor{zoe: parked, members: member}, "replace zoe --reason sold", 0, []string{"the old zoe is put out", "barista enroll CODE --shop", "barista key accept zoe", "barista calibrate", "barista machine uncordon zoe"}, "gives nobody a key", out(replaced, "invite machine zoe")},
		"new hardware, and no code":     {floor{zoe: parked, members: member, fails: "invite"}, "replace zoe --reason sold", term.ExitFailed, []string{"the old zoe is put out", "the disk is full", "machine invite zoe"}, "", out(replaced)},
		"new hardware for one in doubt": {floor{zoe: away, members: member, orders: []fleet.Entry{at(one, fleet.Unknown, owner)}}, "replace zoe --reason sold", term.ExitRefused, []string{"barista settle " + one}, "revoke", nil},
		"without keys, away":            {floor{zoe: away}, "retire zoe --reason sold", 0, []string{"zoe is retired", "gives nobody a key", "brings it back, out of service"}, "", []string{"go on without zoe", retired}},
		"without keys, here":            {floor{zoe: parked}, "retire zoe --reason sold", term.ExitRefused, []string{"can't be cut off", "end its service"}, "", nil},
		"without keys, new hardware":    {floor{zoe: away}, "replace zoe --reason sold", 0, []string{"see that the old one stays off", "can't keep the old one out", "uncordon zoe"}, "enroll", []string{"go on without zoe", replaced}},
		"without keys, in hand":         {floor{zoe: away, orders: []fleet.Entry{at(one, fleet.Brewing, owner)}}, "replace zoe --reason sold", term.ExitRefused, []string{one + " (brewing)", "wait"}, "revoke", nil},
		"no reason":                     {floor{zoe: parked}, "retire zoe", term.ExitUsage, []string{"--reason"}, "", nil},
		"no name":                       {floor{zoe: parked}, "replace --reason sold", term.ExitUsage, []string{"NAME"}, "", nil},
		"no such name":                  {floor{zoe: parked}, "replace zoe.cmd --reason sold", term.ExitUsage, []string{"no name of a machine"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said, err := x.run(t.Context(), strings.Split(x.args, " ")...)
				exit := term.ExitOK
				if e := new(term.Error); errors.As(err, &e) {
					exit, said = e.Exit, e.Message+"\n"+e.Hint
				} else if err != nil {
					exit, said = term.ExitFailed, err.Error()
				}
				if exit != x.exit {
					t.Errorf("exit %d, want %d", exit, x.exit)
				}
				for _, want := range x.says {
					if !strings.Contains(said, want) {
						t.Errorf("no %q in\n%s", want, said)
					}
				}
				if x.not != "" && strings.Contains(said, x.not) {
					t.Errorf("%q in\n%s", x.not, said)
				}
				if !slices.Equal(x.did, x.floor.did) {
					t.Errorf("it did %q, want %q", x.floor.did, x.did)
				}
			})
		})
	}
}
