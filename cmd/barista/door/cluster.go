package door

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// mostServers of a cluster: more than five agree no faster, and keep nothing better.
const mostServers = 5

func (s Shell) keyCluster() *cobra.Command {
	var dir string
	var servers, members []string
	cmd := &cobra.Command{
		Use:   "cluster-config [KEYFILE …]",
		Short: "write the configuration of a cluster of NATS servers for a shop",
		Long: `cluster-config writes what three servers of NATS need to be a shop's broker: their
files, a certificate for each by an own CA, passwords of the routes between them, and
the accounts of the shop's members, from the table of roles. Members are the key files
that are named, or --member with a public half.

Run again with other members it writes accounts.conf anew and leaves the rest alone:
copy that file to each server and have it reload (nats-server --signal reload).`,
		Example: `  barista key new controller shop
  barista key cluster-config --servers n1.local,n2.local,n3.local --dir cluster shop.key \
    --member machine:zoe:U…  --member operator:ada:U…`,
		RunE: func(cmd *cobra.Command, files []string) error {
			hosts, err := hostsOf(servers)
			if err != nil {
				return err
			}
			t, err := table(files, members)
			if err != nil {
				return err
			}
			c := cluster{dir: dir, hosts: hosts}
			if err := c.write(t); err != nil {
				return exists(err)
			}
			return s.Show(cmd, map[string]any{"dir": dir, "written": c.wrote, "members": len(t.Members)}, func(w io.Writer) {
				fmt.Fprintf(w, "%s has the files of %d servers and the accounts of %d members; written now: %s\n", term.Safe(dir), len(hosts), len(t.Members), strings.Join(c.wrote, ", "))
				fmt.Fprintf(w, "Give each server the folder without ca.key and the other servers' keys, and start it: nats-server -c n1.conf\n")
			})
		},
	}
	cmd.Flags().StringSliceVar(&servers, "servers", nil, "`HOSTS` of the servers, with commas: host, or host:port of its routes")
	cmd.Flags().StringArrayVar(&members, "member", nil, "a `ROLE:NAME:PUBLIC` of the shop; may be repeated")
	cmd.Flags().StringVar(&dir, "dir", ".", "`DIR` for the files")
	return cmd
}

// server is one of a cluster.
type server struct{ name, host, routes string }

func hostsOf(list []string) ([]server, error) {
	if len(list) < 1 || len(list) > mostServers {
		return nil, term.Usage("name the servers, one to %d, best three: --servers n1.local,n2.local,n3.local", mostServers)
	}
	var out []server
	for i, h := range list {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, "6222"
		}
		if net.ParseIP(host) == nil && !keys.IsHost(host) {
			return nil, term.Usage("%s is not the name or address of a computer", term.Quote(h))
		}
		out = append(out, server{fmt.Sprint("n", i+1), host, net.JoinHostPort(host, port)})
	}
	return out, nil
}

// table are the members that the command line names.
func table(files, members []string) (roles.Table, error) {
	var t roles.Table
	add := func(role, name, public string) {
		m := roles.Member{Kind: roles.Kind(role), Name: name, Key: public}
		if m.Kind == roles.Machine {
			m.Classes = fleet.DefaultMenu().Classes()
		}
		t.Members = append(t.Members, m)
	}
	for _, f := range files {
		k, err := keys.Load(f)
		if err != nil {
			return t, err
		}
		if k.Role() == "" {
			return t, term.Usage("%s says no role: name its public half with --member ROLE:NAME:%s", term.Quote(f), k.Public())
		}
		add(k.Role(), k.Name(), k.Public())
	}
	for _, m := range members {
		p := strings.Split(m, ":")
		if len(p) != 3 {
			return t, term.Usage("%s is no member: write ROLE:NAME:PUBLIC", term.Quote(m))
		}
		add(p[0], p[1], p[2])
	}
	if err := t.Check(); err != nil {
		return t, term.Usage("%v", err)
	}
	if !slices.ContainsFunc(t.Members, func(m roles.Member) bool { return m.Kind == roles.Controller }) {
		return t, term.Usage("no member is a controller: make its key with barista key new controller shop, and name the file")
	}
	return t, nil
}

// cluster is a folder that is written.
type cluster struct {
	dir   string
	hosts []server
	wrote []string
}

// once writes a file that is not there yet; another one is left alone.
func (c *cluster) once(name, text string, mode fs.FileMode) error {
	path := filepath.Join(c.dir, name)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	return c.put(name, text, mode)
}

func (c *cluster) put(name, text string, mode fs.FileMode) error {
	path := filepath.Join(c.dir, name)
	if err := renameio.WriteFile(path, []byte(text), mode, renameio.WithTempDir(c.dir)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	c.wrote = append(c.wrote, name)
	return nil
}

func (c *cluster) write(t roles.Table) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	text, err := t.Text()
	if err != nil {
		return err
	}
	if err := errors.Join(c.put("accounts.conf", text, 0o644), c.certificates(), c.routes()); err != nil {
		return err
	}
	sample := func(name string) string {
		b, err := configs.Cluster.ReadFile("cluster/" + name)
		if err != nil {
			panic(err) // it is in this program
		}
		return string(b)
	}
	err = errors.Join(c.once("common.conf", sample("common.conf"), 0o644))
	for _, s := range c.hosts {
		err = errors.Join(err, c.once(s.name+".conf", strings.NewReplacer("n1", s.name, "Server 1 of the three", "Server "+s.name[1:]+" of the "+fmt.Sprint(len(c.hosts))).Replace(sample("n1.conf")), 0o644))
	}
	if len(c.hosts) == 3 {
		err = errors.Join(err, c.once("compose.yaml", sample("compose.yaml"), 0o644))
	}
	return err
}

// certificates are of an authority in the same folder.
func (c *cluster) certificates() error {
	ca, err := keys.OpenCA(c.dir, "barista cluster", time.Now())
	if err != nil {
		return err
	}
	for _, s := range c.hosts {
		out := filepath.Join(c.dir, s.name)
		if _, err := os.Lstat(out + ".pem"); err == nil {
			continue
		}
		if _, _, err := certificate(ca, out, []string{s.host, s.name}, "", keys.ForServer); err != nil {
			return err
		}
		c.wrote = append(c.wrote, s.name+".pem", s.name+".key")
	}
	return nil
}

// routes gives each server a password that the others know and it has as a hash.
func (c *cluster) routes() error {
	if _, err := os.Lstat(filepath.Join(c.dir, "routes.conf")); err == nil {
		return nil
	}
	var urls []string
	for _, s := range c.hosts {
		password := rand.Text()
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return err
		}
		if err := c.put(s.name+"-route.conf", fmt.Sprintf("authorization { user: %s, password: %q, timeout: 2 }\n", s.name, hash), 0o600); err != nil {
			return err
		}
		urls = append(urls, fmt.Sprintf("%q", fmt.Sprintf("nats://%s:%s@%s", s.name, password, s.routes)))
	}
	return c.put("routes.conf", "routes: [ "+strings.Join(urls, ", ")+" ]\n", 0o600)
}
