package upkeep

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
)

// teller is a machine that answers as it is told to.
type teller struct {
	answer []byte
	err    error
	asked  []string
}

func (m *teller) Request(_ context.Context, subject string, body []byte) ([]byte, error) {
	m.asked = append(m.asked, subject+" "+string(body))
	return m.answer, m.err
}

// run types barista machine curves ARGS.
func (m *teller) run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	asJSON := false
	cmd := Curves(Shell{
		Machine: func(*string, bool) cobra.PositionalArgs { return cobra.ExactArgs(1) },
		Show: func(cmd *cobra.Command, v any, text func(io.Writer)) error {
			return term.Show(cmd.OutOrStdout(), asJSON, v, text)
		},
		With: func(cmd *cobra.Command, do func(context.Context, client.Shop) error) error {
			return do(cmd.Context(), client.Shop{Parts: client.Parts{Requester: m}})
		},
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var o bytes.Buffer
	cmd.SetOut(&o)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), err
}

// TestCurves: the table, the file and the JSON of what a machine tells; and what is said
// where it tells nothing.
func TestCurves(t *testing.T) {
	six, none, hot := 6.25, 0.0, 93.5
	list := []fleet.Curve{
		{Order: "01JD0000000000000000000002", Epoch: 2, Size: fleet.Large, Ago: 90, Seconds: 41.25, Outcome: fleet.Made, Water: 60,
			Parts: []fleet.Stretch{{Part: "heater", From: 0, To: 20}, {Part: "pump", From: 10, To: 20}},
			At:    []float64{0, 15.5, 41.25}, Flow: []*float64{nil, &six, &none}, Temperature: []*float64{&hot, nil, &none}},
		{Order: "01JD0000000000000000000001", Epoch: 1, Size: fleet.Small, Ago: 4000, Seconds: 3, Outcome: fleet.Spoiled, Parts: []fleet.Stretch{{Part: "grinder", From: 1, To: 3}}},
	}
	say := func(a fleet.CommandAnswer) []byte {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := &teller{answer: say(fleet.CommandAnswer{OK: true, Curves: list})}
	out, err := m.run(t, "zoe")
	if err != nil {
		t.Fatal(err)
	}
	var cells [][]string
	for line := range strings.Lines(out) {
		cells = append(cells, strings.Fields(line))
	}
	if d := cmp.Diff([][]string{
		{"ORDER", "DRINK", "ENDED", "SECONDS", "HIGHEST", "°C", "MEAN", "ML/S", "OUTCOME"},
		{"01JD0000000000000000000002", "large", "1m30s", "ago", "41.2", "93.5", "6.0", "made"},
		{"01JD0000000000000000000001", "small", "1h6m40s", "ago", "3.0", "spoiled"},
	}, cells); d != "" {
		t.Errorf("the table (-want +got):\n%s", d)
	}
	if want := `coffee.machines.zoe.cmd {"verb":"curves"}`; len(m.asked) != 1 || m.asked[0] != want {
		t.Errorf("asked %q", m.asked)
	}

	out, err = m.run(t, "zoe", "--csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if d := cmp.Diff([][]string{
		{"order", "epoch", "drink", "seconds", "flow_ml_s", "temperature_c", "weight_g", "on"},
		{"01JD0000000000000000000002", "2", "large", "0.000", "", "93.5", "", "heater"},
		{"01JD0000000000000000000002", "2", "large", "15.500", "6.25", "", "", "heater+pump"},
		{"01JD0000000000000000000002", "2", "large", "41.250", "0", "0", "", ""},
	}, rows); d != "" || err != nil {
		t.Errorf("the file (-want +got): %v\n%s", err, d)
	}

	out, err = m.run(t, "zoe", "--json")
	var told drinks
	if bad := json.Unmarshal([]byte(out), &told); bad != nil || err != nil {
		t.Fatal(bad, err)
	}
	if d := cmp.Diff(drinks{"zoe", list}, told); d != "" {
		t.Errorf("as JSON (-want +got):\n%s", d)
	}

	for name, x := range map[string]struct {
		m    teller
		args string
		exit int
		says string
	}{
		"it is away":               {teller{err: fleet.ErrNobody}, "zoe", term.ExitNotFound, "no machine zoe listens"},
		"it is of another version": {teller{answer: say(fleet.CommandAnswer{Message: "this machine does not know \x1b"})}, "zoe", term.ExitRefused, "earlier version"},
		"it tells nonsense":        {teller{answer: []byte(`{"ok":true,"curves":[{"order":"x"}]}`)}, "zoe", 0, "can't be read"},
		"it tells too much":        {teller{answer: bytes.Repeat([]byte(" "), fleet.MostAnswer+1)}, "zoe", 0, "at most"},
		"two forms":                {teller{}, "zoe --csv --json", term.ExitUsage, "give one"},
	} {
		out, err := x.m.run(t, strings.Fields(x.args)...)
		if err == nil || !strings.Contains(err.Error(), x.says) || out != "" || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v, %q", name, err, out)
		}
		if e, is := errors.AsType[*term.Error](err); is && e.Exit != x.exit {
			t.Errorf("%s: exit code %d, want %d", name, e.Exit, x.exit)
		}
	}
	empty := &teller{answer: say(fleet.CommandAnswer{OK: true, Message: "done"})}
	if out, err := empty.run(t, "zoe"); err != nil || !strings.Contains(out, "zoe has seen no drink") {
		t.Errorf("%v, %q", err, out)
	}
	if out, err := empty.run(t, "zoe", "--json"); err != nil || out != `{"machine":"zoe","curves":[]}`+"\n" {
		t.Errorf("%v, %q", err, out)
	}
}
