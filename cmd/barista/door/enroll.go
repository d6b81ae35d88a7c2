package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/door"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
)

// The files that enroll writes.
const (
	folder      = "/etc/barista"
	credentials = "credentials"
	fileCA      = "shop-ca.pem"
	// Of a site at its hub: beside them lie those of its own shop.
	fileHub   = "hub.key"
	fileHubCA = "hub-ca.pem"
)

// enrolled is what enroll has done, for --json.
type enrolled struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Key    string `json:"key"` // file
	CA     string `json:"ca"`  // file
	Server string `json:"server"`
	Public string `json:"public"`
}

// Enroll is the verb of a computer that joins a shop.
func Enroll(c Shell) *cobra.Command {
	var shop, dir string
	var within time.Duration
	cmd := &cobra.Command{
		Use: "enroll CODE", Short: "join a shop with the code that its operator has made",
		Long: `enroll makes a key on this computer, which never leaves it, and knocks at the
shop's door with its public half. It believes only the shop that made the code, by
the fingerprint in it. An operator compares the key that both show and lets it in;
then the key and the shop's certificate are written, and the configuration's nats:
section is printed.`,
		Example: "  barista enroll 0123-4567-... --shop shop.local:4222", Args: args("the CODE that the shop's operator has", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := keys.ParseCode(args[0])
			if err != nil {
				return term.Usage("that is no code of a shop, or not all of one: eleven groups of four, as barista machine invite prints them")
			}
			host, port, err := net.SplitHostPort(shop)
			if err != nil {
				host, port = strings.Trim(shop, "[]"), "4222"
			}
			if host == "" {
				return term.Usage("say where the shop is: --shop shop.local:4222")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			e := enrolled{Server: "tls://" + net.JoinHostPort(host, port)}
			if err := e.join(ctx, cmd.ErrOrStderr(), code, host, dir); err != nil {
				return err
			}
			return c.Show(cmd, e, func(w io.Writer) {
				key := e.Key
				if dir == folder {
					key = configs.Credential
				}
				if e.Kind == string(roles.Hub) {
					_, portSites, _ := net.SplitHostPort(configs.DefaultSites)
					fmt.Fprintf(w, "The hub knows the site %s. Its files:\n  %s\n  %s\n\nIn its configuration, under broker:, with the port for sites of the hub's file:\n  domain: %s\n  leaf: {url: %q, key: %s, ca: %s}\n\nAt the hub: barista hub add-site %s\n", e.Name, e.Key, e.CA, e.Name, "tls://"+net.JoinHostPort(host, portSites), key, e.CA, e.Name)
					return
				}
				fmt.Fprintf(w, "%s %s belongs to the shop. Its files:\n  %s\n  %s\n\nIn its configuration:\n  nats: {servers: [%q], key: %s, ca: %s}\n", e.Kind, e.Name, e.Key, e.CA, e.Server, key, e.CA)
			})
		},
	}
	home := folder
	if os.Geteuid() != 0 {
		if d, err := os.UserConfigDir(); err == nil {
			home = filepath.Join(d, "barista")
		}
	}
	cmd.Flags().StringVar(&shop, "shop", "", "`ADDR` of the shop's broker, host or host:port")
	cmd.Flags().StringVar(&dir, "dir", home, "`FOLDER` for the key and the shop's certificate")
	cmd.Flags().DurationVar(&within, "within", door.DefaultTTL, "how long to wait to be let in")
	return cmd
}

// join knocks, waits, and writes the files.
func (e *enrolled) join(ctx context.Context, out io.Writer, code keys.Code, host, dir string) error {
	trust, err := keys.Pinned(code.Fingerprint(), host)
	if err != nil {
		return err
	}
	guest, err := code.Key(string(roles.Guest), "guest")
	if err != nil {
		return err
	}
	id := door.GuestID(guest)
	conn, err := connect(ctx, queue.Config{
		Name: "guest-" + id[:8], Servers: []string{e.Server}, Key: guest, TLS: trust, Within: 10 * time.Second,
		Inbox: roles.Member{Kind: roles.Guest, Name: id}.Rights().Inbox,
	})
	if err != nil {
		return refused(err, e.Server)
	}
	defer conn.Close()
	key, err := keys.New(string(roles.Guest), "new")
	if err != nil {
		return err
	}
	e.Public = key.Public()
	knocks, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w, err := door.Knock(knocks, conn.Requester(), guest, key, about(), func(kind, name string) {
		file, ca := name+".key", fileCA
		if kind == string(roles.Hub) {
			file, ca = fileHub, fileHubCA
		}
		e.Key, e.CA = filepath.Join(dir, file), filepath.Join(dir, ca)
		if dir == folder { // what the packaged units are handed from there
			e.Key = filepath.Join(dir, credentials, file)
		}
		if _, err := os.Lstat(e.Key); !errors.Is(err, fs.ErrNotExist) {
			stop(term.Fail(term.ExitRefused, "move it away, or give another --dir", "%s is there already, and is not written over", e.Key))
			return
		}
		fmt.Fprintf(out, "The shop has heard %s %s. At the shop, compare this key and let it in:\n\n  %s\n  barista key accept %s\n\n", kind, name, key.Public(), name)
	})
	switch {
	case errors.Is(err, door.ErrRefused):
		return term.Fail(term.ExitUnauthorised, "ask its operator for a new code", "the shop did not let this computer in: the code was used by another one, is over, or an operator said no")
	case context.Cause(knocks) != nil && ctx.Err() == nil:
		return context.Cause(knocks)
	case errors.Is(err, context.DeadlineExceeded):
		return term.Fail(term.ExitTimeout, "ask its operator for a new code, and to let it in", "nobody has let this computer in")
	case err != nil:
		return err
	}
	return e.write(w, code, key)
}

// The broker knows nobody for some milliseconds while it learns of somebody else (seen:
// two invitations in one moment), so a code is called unknown only after some tries.
const (
	connectTries = 3
	connectPause = time.Second
)

// connect joins the broker as the guest of a code.
func connect(ctx context.Context, cfg queue.Config) (conn *queue.Conn, err error) {
	for try := range connectTries {
		if try > 0 && !fleet.Pause(ctx, connectPause) {
			break
		}
		if conn, err = queue.Connect(ctx, cfg); !errors.Is(err, queue.ErrRefused) {
			break
		}
	}
	return conn, err
}

// write keeps what makes the computer a member.
func (e *enrolled) write(w door.Welcome, code keys.Code, key *keys.Key) error {
	e.Kind, e.Name = w.Kind, w.Name
	certs, err := keys.ParseCerts(w.CA)
	if err != nil || len(certs) != 1 || !strings.HasPrefix(keys.Fingerprint(certs[0]), code.Fingerprint()) {
		return term.Fail(term.ExitUnauthorised, "ask its operator for a new code", "the certificate that came is not that of the shop which made the code")
	}
	key, err = key.As(w.Kind, w.Name)
	if err != nil {
		return err
	}
	if err := key.Save(e.Key); err != nil {
		return err
	}
	if err := renameio.WriteFile(e.CA, w.CA, 0o644, renameio.WithTempDir(filepath.Dir(e.CA))); err != nil {
		return fmt.Errorf("save the shop's certificate: %w", err)
	}
	return nil
}

// refused says why the shop could not be asked.
func refused(err error, at string) error {
	switch {
	case errors.Is(err, queue.ErrRefused):
		return term.Fail(term.ExitUnauthorised, "ask its operator for a new code", "the shop at %s does not know this code: it was used, is over, or is another shop's", at)
	case errors.Is(err, queue.ErrForeign), errors.Is(err, queue.ErrOtherName), errors.Is(err, queue.ErrCertificate), errors.Is(err, keys.ErrOtherCA):
		return term.Fail(term.ExitUnauthorised, "is the address right? somebody else may stand in its place", "who answers at %s is not the shop that made this code", at)
	}
	return term.Fail(term.ExitTimeout, "is the address right, and does its broker listen there? see --shop", "the shop can't be asked at %s: %w", at, err)
}

// about is what this computer says of itself, for the operator.
func about() string {
	h, err := os.Hostname()
	if err != nil {
		h = "a computer without a name"
	}
	if b, err := os.ReadFile("/proc/device-tree/model"); err == nil {
		h += ", " + strings.Trim(string(b), "\x00\n ")
	}
	if len(h) > 100 {
		h = h[:100]
	}
	return h
}
