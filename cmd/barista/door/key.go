package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/fleet/client"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// Shell is what verbs take of the command line around them.
type Shell struct {
	Group   func(*cobra.Command) *cobra.Command
	Exactly func(names ...string) cobra.PositionalArgs
	Show    func(cmd *cobra.Command, v any, text func(io.Writer)) error
	Way     *reach.Flags // to the shop, as the command line says
	With    func(cmd *cobra.Command, do func(ctx context.Context, s client.Shop) error) error
	By      func(cmd *cobra.Command, by *string) // adds --by
}

// Key is barista key.
func Key(s Shell) *cobra.Command {
	cmd := s.Group(&cobra.Command{
		Use:   "key",
		Short: "keys and certificates",
		Long: `key makes and shows the keys by which people, machines and services prove who
they are, and the certificates by which they know the broker. A key is made where it
is used, and its secret half stays in its file: what a shop is given is the public
half, which begins with U.`,
		Example: `  barista key new operator ada
  barista key show ada.key
  barista key cert shop.local --dir /etc/barista/ca`,
	})
	cmd.AddCommand(s.keyNew(), s.keyShow(), s.keyContext(), s.keyCA(), s.keyCert(), s.keyCluster())
	cmd.AddCommand(s.members()...)
	return cmd
}

// shown is a key in JSON.
type shown struct {
	Role   string `json:"role,omitempty"`
	Name   string `json:"name,omitempty"`
	Public string `json:"public"`
	File   string `json:"file"`
}

func (s Shell) keyNew() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "new ROLE NAME",
		Short: "make a key for a role, and print its public half",
		Long: `new makes a key, writes it into a new file that only you may read, and prints its
public half, which an operator of the shop accepts. The roles are machine, controller,
stock, web, operator, monitor, archive, hub, article and admin. A machine's name is the
one in its file, an operator's is a person's.`,
		Example: `  barista key new operator ada
  barista key new machine zoe --out /etc/barista/credentials/zoe.key`,
		Args: s.Exactly("ROLE", "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := keys.New(args[0], args[1])
			if err == nil {
				err = roles.Table{Members: []roles.Member{{Kind: roles.Kind(args[0]), Name: args[1], Key: k.Public()}}}.Check()
			}
			if err != nil {
				return term.Usage("%v", err)
			}
			if out == "" {
				out = args[1] + ".key"
			}
			if err := k.Save(out); err != nil {
				return exists(err)
			}
			return s.Show(cmd, shown{k.Role(), k.Name(), k.Public(), out}, func(w io.Writer) {
				fmt.Fprintf(w, "the key of %s %s is in %s: it stays on this computer, and is shown to nobody\n  public  %s\n", k.Role(), k.Name(), term.Safe(out), k.Public())
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "new `FILE` for the key (default NAME.key)")
	return cmd
}

// exists gives what is there already its exit code.
func exists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return term.Fail(term.ExitRefused, "", "%w", err)
	}
	return err
}

func (s Shell) keyShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "print the public half of a key, and whose it is",
		Example: "  barista key show /etc/barista/operator.key",
		Args:    s.Exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := keys.Load(args[0])
			if err != nil {
				return err
			}
			return s.Show(cmd, shown{k.Role(), k.Name(), k.Public(), args[0]}, func(w io.Writer) {
				who := "of nobody in particular: its file names no role"
				if k.Role() != "" {
					who = "of " + k.Role() + " " + k.Name()
				}
				fmt.Fprintf(w, "%s  %s\n", k.Public(), who)
			})
		},
	}
}

func (s Shell) keyContext() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "context NAME",
		Short: "write a context for the nats command line",
		Long: `context writes what the nats command line needs to reach this shop as you: the
addresses, the key's file, the CA, and the prefix of the inboxes that the key may hear
(~/.config/nats/context/NAME.json). It names files and holds no secret.`,
		Example: `  barista key context shop --nats tls://shop.local:4222 --key ~/ada.key --ca ~/shop-ca.pem
  nats --context shop req coffee.stock.arabica.get ''`,
		Args: s.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !keys.IsHost(strings.ToLower(args[0])) {
				return term.Usage("%s can't be the name of a context: letters, digits, - and .", term.Quote(args[0]))
			}
			path, err := s.Way.Context(args[0], force)
			if err != nil {
				return exists(err)
			}
			return s.Show(cmd, map[string]string{"file": path}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is written; use it with nats --context %s\n", term.Safe(path), args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "write over a context of that name")
	return cmd
}

func (s Shell) keyCA() *cobra.Command {
	var dir, name string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "make the shop's own CA, or show it",
		Long: `ca makes the authority that makes the certificates of this shop, and no other one:
ca.pem, which every computer of the shop needs, and ca.key, which stays here and which
nobody else may read. Where there is one already it is shown. By its fingerprint others
know that they have the right one.`,
		Example: "  barista key ca --dir /etc/barista/ca",
		Args:    s.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := keys.OpenCA(dir, name, time.Now())
			if err != nil {
				return err
			}
			path := filepath.Join(dir, keys.FileCA)
			return s.Show(cmd, map[string]string{"file": path, "fingerprint": ca.Fingerprint(), "until": day(ca.Until())}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is good until %s\n  fingerprint  %s\n", term.Safe(path), day(ca.Until()), ca.Fingerprint())
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "`DIR` of the CA")
	cmd.Flags().StringVar(&name, "name", "barista shop", "`NAME` in the certificate of a new CA, for people")
	return cmd
}

func day(t time.Time) string { return t.Format(time.DateOnly) }

func (s Shell) keyCert() *cobra.Command {
	var dir, out, client string
	var days int
	cmd := &cobra.Command{
		Use:   "cert [NAME …]",
		Short: "make a certificate by the shop's CA, or renew it",
		Long: `cert makes the certificate of a server for the names and addresses by which others
reach it, and its key; with --client that of a member, for a broker that knows its
members by certificate. Where both files are there the certificate is renewed, for the
same key, and with the same names unless others are given; servers of this program and
nats-server (after a reload) show it from then on, and no connection is lost.`,
		Example: `  barista key cert shop.local 192.168.1.10 --dir /etc/barista/ca
  barista key cert --client zoe.machine.barista --dir /etc/barista/ca
  barista key cert --out /etc/barista/ca/shop.local --dir /etc/barista/ca`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if client != "" {
				names = append(names, client)
			}
			if client != "" && len(names) > 1 {
				return term.Usage("a member's certificate has its one subject and no other name")
			}
			if out == "" && len(names) == 0 {
				return term.Usage("name the server: barista key cert shop.local; or what is renewed: --out")
			}
			if out == "" {
				out = filepath.Join(dir, names[0])
			}
			ca, err := keys.LoadCA(dir)
			if errors.Is(err, keys.ErrNoKey) {
				return term.Fail(term.ExitNotFound, "make it first: barista key ca --dir "+dir, "%w", err)
			}
			if err != nil {
				return err
			}
			p, did, err := certificate(ca, out, names, client, time.Duration(days)*24*time.Hour)
			if err != nil {
				return exists(err)
			}
			v := map[string]any{"cert": out + ".pem", "key": out + ".key", "names": p.Names(), "until": day(p.Until())}
			return s.Show(cmd, v, func(w io.Writer) {
				fmt.Fprintf(w, "%s.pem is %s for %s, good until %s; its key is %s.key\n", term.Safe(out), did, strings.Join(p.Names(), ", "), day(p.Until()), term.Safe(out))
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "`DIR` of the CA")
	cmd.Flags().StringVar(&out, "out", "", "`BASE` of both files, BASE.pem and BASE.key (default: the first name, in DIR)")
	cmd.Flags().StringVar(&client, "client", "", "`SUBJECT` of a member, such as zoe.machine.barista")
	cmd.Flags().IntVar(&days, "days", 365, "`N` days for which it is good")
	return cmd
}

// certificate makes a pair, or renews the one that is there.
func certificate(ca *keys.CA, out string, names []string, client string, good time.Duration) (p *keys.Pair, did string, err error) {
	cert, key := out+".pem", out+".key"
	if _, err := os.Lstat(cert); err == nil {
		p, err = ca.Renew(cert, key, names, time.Now(), good)
		return p, "renewed", err
	}
	if client != "" {
		p, err = ca.Client(client, time.Now(), good)
	} else {
		p, err = ca.Server(names, time.Now(), good)
	}
	if err == nil {
		err = p.Save(cert, key)
	}
	return p, "made", err
}
