package complete_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"barista/cmd/barista/complete"
	"barista/fleet"
	"barista/fleet/client"
)

// nothing set, so the default menu is in force.
type settings struct{ menu string }

func (s settings) Get(context.Context, string) ([]byte, error) {
	if s.menu == "" {
		return nil, fleet.ErrNotFound
	}
	return []byte(s.menu), nil
}
func (settings) Put(context.Context, string, []byte) error { return nil }
func (settings) Delete(context.Context, string) error      { return nil }

// tree is verbs that take what the program's own take.
func tree(s client.Shop, dialed error) *cobra.Command {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "barista"}
	order := &cobra.Command{Use: "order", Run: run}
	order.Flags().String("bean", "", "")
	order.Flags().String("milk", "", "")
	order.Flags().String("size", "", "")
	order.Flags().String("name", "", "")
	machine, key := &cobra.Command{Use: "machine"}, &cobra.Command{Use: "key"}
	machine.AddCommand(&cobra.Command{Use: "drain NAME", Run: run})
	key.AddCommand(&cobra.Command{Use: "new ROLE NAME", Run: run})
	root.AddCommand(order, machine, key, &cobra.Command{Use: "settle ORDER made|not-made", Run: run}, &cobra.Command{Use: "check FILE…", Run: run},
		&cobra.Command{Use: "faults [FAULT]", Run: run}, &cobra.Command{Use: "status", Run: run})
	complete.Add(root, func(context.Context) (client.Shop, func(), error) { return s, func() {}, dialed })
	return root
}

// tab is what a shell would be offered: the values, and the shell's order.
func tab(t *testing.T, root *cobra.Command, line ...string) (values []string, files bool) {
	t.Helper()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, line...))
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1] == ":0"
}

func TestTab(t *testing.T) {
	shop := client.Shop{Parts: client.Parts{
		Settings: settings{},
		Machines: func(context.Context) ([]fleet.Machine, error) {
			zoe, leo := fleet.Machine{Here: true}, fleet.Machine{}
			zoe.Machine, zoe.State, leo.Machine = "zoe", fleet.StateReady, "leo"
			return []fleet.Machine{leo, zoe}, nil
		},
		Orders: func(context.Context) ([]fleet.Entry, error) {
			e := fleet.Entry{}
			e.Order.ID, e.Order.Name, e.Phase = "01K00000000000000000000000", "$(reboot)", fleet.Served
			return []fleet.Entry{e}, nil
		},
	}}
	for _, c := range []struct {
		line  []string
		want  string
		files bool
	}{
		{[]string{"order", "--bean", ""}, strings.Join(fleet.DefaultMenu().Beans, " "), false},
		{[]string{"order", "--milk", ""}, "free normal soja", false},
		{[]string{"order", "--size", ""}, "small medium large", false},
		{[]string{"order", "--size", "l"}, "large", false},
		{[]string{"machine", "drain", ""}, "leo zoe", false},
		{[]string{"machine", "drain", "zoe", ""}, "", false},
		{[]string{"key", "new", "mo"}, "monitor", false},
		{[]string{"key", "new", "monitor", ""}, "", false}, // a new name, and no machine's
		{[]string{"settle", ""}, "last 01K00000000000000000000000", false},
		{[]string{"settle", "last", ""}, "made not-made", false},
		{[]string{"faults", "no-f"}, "no-flow", false},
		{[]string{"check", ""}, "", true},
		{[]string{"check", "a.yaml", ""}, "", true},
		{[]string{"status", ""}, "", false},
	} {
		got, files := tab(t, tree(shop, nil), c.line...)
		if strings.Join(got, " ") != c.want || files != c.files {
			t.Errorf("%q: %q, files %v; want %q, %v", c.line, got, files, c.want, c.files)
		}
	}
}

// TestTabInTrouble: no shop, or one whose broker says what no token is.
func TestTabInTrouble(t *testing.T) {
	for _, c := range []struct {
		shop client.Shop
		err  error
		want string
	}{
		{client.Shop{}, errors.New("nobody there"), ""},
		{client.Shop{Parts: client.Parts{Settings: settings{"{"}}}, nil, ""},
		{client.Shop{Parts: client.Parts{Machines: func(context.Context) ([]fleet.Machine, error) {
			bad, good := fleet.Machine{}, fleet.Machine{}
			bad.Machine, good.Machine = "$(reboot)", "zoe"
			return []fleet.Machine{bad, good}, nil
		}, Settings: settings{"{"}}}, nil, "zoe"},
	} {
		line := []string{"machine", "drain", ""}
		if c.want == "" {
			line = []string{"order", "--bean", ""}
		}
		if got, files := tab(t, tree(c.shop, c.err), line...); strings.Join(got, " ") != c.want || files {
			t.Errorf("%q: %q, files %v; want %q", line, got, files, c.want)
		}
	}
}
