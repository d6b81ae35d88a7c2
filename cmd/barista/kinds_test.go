package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/driver/mock"
	"barista/driver/serial"
)

// through are settings whose metal goes through a test's hands.
type through struct {
	configs.Settings
	hands func(inner configs.Settings, log *slog.Logger) (driver.Rig, error)
}

func (s through) Open(log *slog.Logger) (driver.Rig, error) { return s.hands(s.Settings, log) }

// Settled is what the section makes of the settings behind.
func (s through) Settled(m *configs.Map) configs.Settings {
	if x, is := s.Settings.(interface {
		Settled(m *configs.Map) configs.Settings
	}); is {
		return handle(x.Settled(m), s.hands)
	}
	return s
}

// farThrough are such settings where the metal is somebody else's.
type farThrough struct {
	through
	configs.Elsewhere
}

func (s farThrough) Complete(c *configs.Machine, m *configs.Map) { s.Elsewhere.Complete(c, m) }
func (s farThrough) Open(log *slog.Logger) (driver.Rig, error)   { return s.through.Open(log) }
func (s farThrough) Rest() error                                 { return s.Elsewhere.Rest() }

func handle(s configs.Settings, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) configs.Settings {
	if far, is := s.(configs.Elsewhere); is {
		return farThrough{through{s, hands}, far}
	}
	return through{s, hands}
}

// handled is the kind under a name of the test, with its metal in the test's hands.
func handled(k kinds.Kind, name string, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) kinds.Kind {
	inner := k.New
	k.Name, k.New = name, func() (configs.Settings, *kinds.Form) {
		s, f := inner()
		return handle(s, hands), f
	}
	return k
}

// addKind adds a kind to the table until the test ends.
func addKind(t testing.TB, k kinds.Kind) {
	drivers = append(slices.Clone(drivers), k)
	t.Cleanup(func() {
		drivers = slices.DeleteFunc(slices.Clone(drivers), func(x kinds.Kind) bool { return x.Name == k.Name })
	})
}

// allHandled has the metal of every kind in the test's hands, until it ends.
func allHandled(t testing.TB, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) {
	was := drivers
	var list kinds.Table
	for _, k := range was {
		list = append(list, handled(k, k.Name, hands))
	}
	drivers = list
	if t != nil {
		t.Cleanup(func() { drivers = was })
	}
}

// control is the other side of an opened mock.
func (st *member) control() *mock.Control {
	s := st.file.Settings
	if in, is := s.(through); is {
		s = in.Settings
	}
	return s.(*kindmock.Settings).Control()
}

// TestKindBrings: what a kind brings is in the program by its line in the table: its
// command, its question of detect, what driver record asks of it. Why a command was
// not done is an exit code.
func TestKindBrings(t *testing.T) {
	addKind(t, kinds.Kind{
		Name: "toy",
		Commands: []kinds.Command{{
			Under: "sim", Use: "toy [WHY]", Short: "play a toy", Args: true,
			Flags: func(f *pflag.FlagSet) kinds.Run {
				loud := f.Bool("loud", false, "")
				return func(_ context.Context, c kinds.Console, args []string) error {
					switch {
					case *loud:
						return c.Show(map[string]bool{"loud": true}, func(w io.Writer) { fmt.Fprintln(w, c.Safe("a\x1bb")) })
					case len(args) == 0:
						return kinds.Usage("say why")
					}
					return &kinds.Error{Why: map[string]kinds.Why{"state": kinds.Refused, "user": kinds.NotAllowed}[args[0]], Hint: "hold it", Err: errors.New(args[0])}
				}
			},
		}},
		Sight:  &kinds.Sight{Turn: 3, Asks: "what a toy is", Ask: func(context.Context, *serial.Line) (kinds.Answer, error) { return kinds.Answer{}, errors.New("no toy") }},
		Record: &kinds.Record{Says: "of a toy its size", Flags: func(*pflag.FlagSet) func(serial.Config) (kinds.Look, error) { return nil }},
	})
	for line, want := range map[string]struct {
		exit int
		say  string
	}{
		"sim toy --loud --json":  {term.ExitOK, `{"loud":true}` + "\n"},
		"sim toy --loud":         {term.ExitOK, `"a\x1bb"` + "\n"},
		"sim toy":                {term.ExitUsage, "barista: say why\n"},
		"sim toy state":          {term.ExitRefused, "barista: state\n  hold it\n"},
		"sim toy user":           {term.ExitUnauthorised, "barista: user\n  hold it\n"},
		"sim lcus --link x more": {term.ExitUsage, "takes no arguments"},
		"sim --help":             {term.ExitOK, "toy         play a toy"},
		"detect --help":          {term.ExitOK, "3 questions that only read"},
		"driver record --help":   {term.ExitOK, "of a toy its size"},
		"driver record --port x --out y --kind lcus": {term.ExitUsage, "--kind is jura or modbus or toy, not"},
	} {
		var out bytes.Buffer
		if got := execute(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &out); got != want.exit || !strings.Contains(out.String(), want.say) {
			t.Errorf("%s: exit code %d, want %d\n%s", line, got, want.exit, &out)
		}
	}
}
