// Package complete is what the shell offers after a tab: the beans of the menu in
// force, the machines and orders of the shop that the line's own flags point at, the
// faults of the table. A verb says what it takes in its use line and by the names of
// its flags; nothing is declared twice. Package main calls Add once, on the whole
// tree.
//
// It only reads, gives a shop at most Within to answer, and offers nothing rather than
// an error: whoever pressed a tab is in the middle of a line. What a customer typed is
// never offered, only ids, so that no text from outside reaches the shell.
package complete

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/roles"
	"barista/fleet/words"
	"barista/machine"
)

// Within is how long a tab may take.
const Within = 1500 * time.Millisecond

// Dial finds the shop of a line; close ends the connection.
type Dial func(ctx context.Context) (s client.Shop, hangUp func(), err error)

// source finds values: each alone, or with a tab and what it is.
type source func(ctx context.Context, s client.Shop) ([]string, error)

// fixed are values for which nobody is asked.
type fixed []string

// A use line names its arguments in capitals, or as a|b|c; words of arguments and
// flags that have values are here.
var (
	static = map[string]fixed{
		"SIZE": sizes(), "--size": sizes(), "--lang": fixed(words.Languages), "FAULT": faults(), "ROLE": roleNames(),
		"--sugar": upTo(fleet.MaxSugar), "--probe": {"known", "all", "none"}, "--cups": {"auto", "hand"},
	}
	asked = map[string]source{
		"ORDER": orders, "--order": orders, "machine NAME": machines, "ITEM": items,
		"--bean": beans, "--milk": milks,
	}
	// files are what names files; the shell knows those.
	files = []string{"FILE", "FILE…", "PORT…", "KEYFILE"}
)

// Add gives every argument and flag of the tree its values.
func Add(root *cobra.Command, dial Dial) {
	for _, cmd := range root.Commands() {
		Add(cmd, dial)
	}
	if root.HasSubCommands() {
		return
	}
	if root.ValidArgsFunction == nil && len(root.ValidArgs) == 0 {
		root.ValidArgsFunction = arguments(root, dial)
	}
	root.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Value.Type() == "bool" {
			return
		}
		if offer := find(root, "--"+f.Name, dial); offer != nil {
			// The only error is that the flag has values already.
			_ = root.RegisterFlagCompletionFunc(f.Name, offer)
		}
	})
}

// arguments completes the argument that the line has come to.
func arguments(cmd *cobra.Command, dial Dial) cobra.CompletionFunc {
	fields := strings.Fields(cmd.Use)[1:]
	if i := slices.IndexFunc(fields, func(f string) bool { return strings.HasPrefix(f, "--") }); i >= 0 {
		fields = fields[:i] // flags that must be there
	}
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(fields) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		at := min(len(args), len(fields)-1)
		field := strings.Trim(fields[at], "[]")
		if len(args) >= len(fields) && !strings.HasSuffix(field, "…") {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if slices.Contains(files, field) {
			return nil, cobra.ShellCompDirectiveDefault
		}
		if strings.Contains(field, "|") {
			return begun(strings.Split(field, "|"), typed), cobra.ShellCompDirectiveNoFileComp
		}
		if offer := find(cmd, field, dial); offer != nil {
			return offer(cmd, args, typed)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// find looks a word up; nil where it has no values.
func find(cmd *cobra.Command, word string, dial Dial) cobra.CompletionFunc {
	ask := asked[word]
	if ask == nil && cmd.HasParent() {
		ask = asked[cmd.Parent().Name()+" "+word]
	}
	if ask == nil {
		values, is := static[word]
		if !is {
			return nil
		}
		return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return begun(values, typed), cobra.ShellCompDirectiveNoFileComp
		}
	}
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		parent := cmd.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, Within)
		defer cancel()
		s, hangUp, err := dial(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer hangUp()
		values, err := ask(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		// What a broker sends is no text for a shell unless it is a token.
		values = slices.DeleteFunc(values, func(v string) bool {
			value, _, _ := strings.Cut(v, "\t")
			return !fleet.IsToken(value) && !fleet.IsToken(strings.ToLower(value))
		})
		return begun(values, typed), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// begun are the values that go on from what is typed.
func begun(values []string, typed string) (out []string) {
	for _, v := range values {
		if strings.HasPrefix(v, typed) {
			out = append(out, v)
		}
	}
	return out
}

func sizes() (all fixed) {
	for _, s := range fleet.Sizes {
		all = append(all, string(s))
	}
	return all
}

func faults() (all fixed) {
	for _, f := range machine.Faults {
		all = append(all, described(string(f.Cause), words.Operator("en", string(f.Cause))))
	}
	return all
}

// roleNames are the roles for which a person makes keys: foreign has none, and a guest's
// comes with the invitation.
func roleNames() (all fixed) {
	for _, k := range []roles.Kind{roles.Machine, roles.Controller, roles.Stock, roles.Web, roles.Operator, roles.Monitor, roles.Archive, roles.Hub, roles.Admin} {
		all = append(all, string(k))
	}
	return all
}

func upTo(n int) (all fixed) {
	for i := range n + 1 {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func described(value, what string) string { return value + "\t" + what }

// safe is a word of a closed set that came over the network.
func safe(word string) string {
	if fleet.IsToken(word) {
		return word
	}
	return "?"
}

func beans(ctx context.Context, s client.Shop) ([]string, error) {
	m, _, err := s.Menu(ctx)
	return m.Beans, err
}

func milks(ctx context.Context, s client.Shop) ([]string, error) {
	m, _, err := s.Menu(ctx)
	return append([]string{fleet.NoMilk}, slices.DeleteFunc(slices.Clone(m.Milks), func(milk string) bool { return milk == fleet.NoMilk })...), err
}

func items(ctx context.Context, s client.Shop) (all []string, err error) {
	levels, err := s.Stock.Levels(ctx)
	for item := range levels {
		all = append(all, item)
	}
	slices.Sort(all)
	return all, err
}

func machines(ctx context.Context, s client.Shop) (all []string, err error) {
	list, err := s.Fleet(ctx)
	for _, m := range list {
		all = append(all, described(m.Machine, safe(string(m.State))))
	}
	return all, err
}

// orders are those that changed last first, behind the word for the newest.
func orders(ctx context.Context, s client.Shop) (all []string, err error) {
	const most = 20
	list, err := s.List(ctx, false, most)
	for _, o := range slices.Backward(list) {
		all = append(all, described(o.ID, safe(string(o.Phase))+", "+safe(string(o.Size))))
	}
	if len(all) > 0 {
		all = append([]string{described("last", "the order that changed last")}, all...)
	}
	return all, err
}
