package staff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver/guard"
	"barista/fleet"
	"barista/fleet/operators"
)

const password = "planted-otters-0815"

// shop is a shop's computer: a file and a state folder.
type shop struct {
	t      *testing.T
	config string
	state  string
	in     io.Reader
}

func open(t *testing.T) *shop {
	dir := t.TempDir()
	s := &shop{t: t, config: filepath.Join(dir, "shop.yaml"), state: filepath.Join(dir, "state")}
	text := "state: " + s.state + "\nbroker: {listen: none}\ncontroller:\nstock: {}\nweb: {}\n"
	if err := errors.Join(os.WriteFile(s.config, []byte(text), 0o600), os.Mkdir(s.state, 0o700)); err != nil {
		t.Fatal(err)
	}
	return s
}

// run is one command line; it returns all that was printed.
func (s *shop) run(args ...string) (string, error) {
	exactly := func(names ...string) cobra.PositionalArgs { return cobra.ExactArgs(len(names)) }
	var out bytes.Buffer
	cmd := Operator(Console{
		Show: func(cmd *cobra.Command, v any, text func(io.Writer)) error {
			return term.Show(cmd.OutOrStdout(), false, v, text)
		},
		Args:  exactly,
		Kinds: func() map[string]configs.Kind { return nil },
	})
	cmd.SetArgs(append(args, "--config", s.config))
	cmd.SetIn(s.in)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(s.t.Context())
	return out.String(), err
}

func (s *shop) good(args ...string) string {
	s.t.Helper()
	out, err := s.run(args...)
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// refused wants an exit code, and the sentence to hold a piece.
func (s *shop) refused(exit int, piece string, args ...string) {
	s.t.Helper()
	out, err := s.run(args...)
	e, is := errors.AsType[*term.Error](err)
	if !is || e.Exit != exit || !strings.Contains(e.Message+"\n"+e.Hint, piece) {
		s.t.Errorf("%v: %v, want exit %d and %q\n%s", args, err, exit, piece, out)
	}
}

var aCode = regexp.MustCompile(`(?m)^[2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4}$`)

func TestCodesLetPeopleIn(t *testing.T) {
	s := open(t)
	service := operators.New(operators.NewStore(s.state, guard.SinceBoot), operators.Config{Memory: 64, Rounds: 1})
	redeem := func(out, name string) string {
		t.Helper()
		secret, err := service.Redeem(t.Context(), aCode.FindString(out), name, password, "192.0.2.1")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return secret
	}
	if out := s.good("list"); !strings.Contains(out, "nobody is an operator") {
		t.Error(out)
	}
	zoe := redeem(s.good("code"), "zoe")
	max := s.good("add", "max")
	if out := s.good("list"); !strings.Contains(out, "zoe              since 2") || !strings.Contains(out, "max              invited") {
		t.Error(out)
	}
	redeem(max, "max")
	redeem(s.good("code", "max"), "max")
	s.refused(term.ExitRefused, "operators already", "code")
	s.refused(term.ExitRefused, "barista operator code zoe", "add", "zoe")
	s.refused(term.ExitNotFound, "no operator ann", "code", "ann")
	s.refused(term.ExitNotFound, "no operator ann", "remove", "ann")
	s.refused(term.ExitUsage, `"Zoë" is no name`, "add", "Zoë")

	// While the service runs, and at once.
	if name, ok := service.Who(zoe); !ok || name != "zoe" {
		t.Errorf("the session is %q's", name)
	}
	s.good("remove", "zoe")
	if name, ok := service.Who(zoe); ok {
		t.Errorf("a removed operator is let in as %s", name)
	}
	if info, err := os.Stat(filepath.Join(s.state, operators.FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestWrongFiles(t *testing.T) {
	s := open(t)
	right := s.config
	s.config = right + ".no"
	s.refused(term.ExitFailed, "--config FILE", "list")
	s.config = filepath.Join(filepath.Dir(right), "broker.yaml")
	if err := os.WriteFile(s.config, []byte("state: "+s.state+"\nbroker: {listen: none}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refused(term.ExitRefused, "no website", "list")
	s.config = right
	if err := os.Remove(s.state); err != nil {
		t.Fatal(err)
	}
	s.refused(term.ExitRefused, "start the service once", "code")
}

func TestPasswordsAreAskedFor(t *testing.T) {
	s := open(t)
	for in, why := range map[string]string{
		"":                             "nobody answered",
		password + "\n":                "nobody answered",
		password + "\nanother\n":       "not the same",
		"short\nshort\n":               "at least 10 characters",
		"zoezoezoezoe\nzoezoezoezoe\n": "little more than the name",
	} {
		s.in = strings.NewReader(in)
		s.refused(term.ExitRefused, why, "add", "zoe", "--ask")
	}
	if out := s.good("list"); !strings.Contains(out, "nobody") {
		t.Errorf("what failed left %s", out)
	}
	s.in = strings.NewReader(password + "\n" + password + "\n")
	if out := s.good("add", "zoe", "--ask"); !strings.Contains(out, "zoe may log in") || strings.Contains(out, password) || aCode.MatchString(out) {
		t.Error(out)
	}
	service := operators.New(operators.NewStore(s.state, guard.SinceBoot), operators.Config{})
	if _, err := service.Login(t.Context(), "zoe", password, ""); err != nil {
		t.Error(err)
	}
	if _, err := service.Login(t.Context(), "zoe", password+"x", ""); !errors.Is(err, fleet.ErrLogin) {
		t.Error(err)
	}
}

// On a terminal a password is not shown, and the terminal is as before afterwards.
func TestPasswordsAreNotShown(t *testing.T) {
	s := open(t)
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal("no terminals here: ", err)
	}
	defer ours.Close()
	defer theirs.Close()
	s.in = theirs
	p := term.NewPerson(theirs, theirs, false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := make(chan string, 1)
	go func() {
		line, _ := p.Secret(ctx, "the password:")
		got <- line
	}()
	shown := readUntil(t, ours, "the password:") // the echo is off before it is asked
	if _, err := io.WriteString(ours, password+"\n"); err != nil {
		t.Fatal(err)
	}
	if line := <-got; line != password {
		t.Errorf("read %q", line)
	}
	// Now what is typed is shown again, and nothing of the password came before it.
	if _, err := io.WriteString(ours, "seen\n"); err != nil {
		t.Fatal(err)
	}
	shown += readUntil(t, ours, "seen")
	if strings.Contains(shown, password[:7]) {
		t.Errorf("the terminal shows %q", shown)
	}
}

func readUntil(t *testing.T, f *os.File, piece string) string {
	t.Helper()
	var all strings.Builder
	b := make([]byte, 256)
	for !strings.Contains(all.String(), piece) {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("%v after %q", err, all.String())
		}
		all.Write(b[:n])
	}
	return all.String()
}
