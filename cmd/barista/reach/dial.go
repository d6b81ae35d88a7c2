package reach

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/fleet/broker"
	"barista/fleet/keys"
	"barista/fleet/queue"
)

// DefaultNATS is the broker of a shop on this computer.
const DefaultNATS = "nats://127.0.0.1:4222"

// EnvKey names the file of a person's key where no flag does.
const EnvKey = "BARISTA_KEY"

// Patience is how long a verb waits for the broker, and then for each answer.
const Patience = 5 * time.Second

// Flags are what every verb takes that talks to a shop.
type Flags struct {
	NATS, Key, Creds, CA, Cert, Domain, Site, Inbox string
}

// Add adds them to a command line.
func (f *Flags) Add(fs *pflag.FlagSet) {
	fs.StringVar(&f.NATS, "nats", "", "`URL` of the shop's broker, or several with commas (default $NATS_URL, then "+DefaultNATS+")")
	fs.StringVar(&f.Key, "key", "", "`FILE` of your key (default $BARISTA_KEY; for the shop of this computer "+FileKey+" in ~/.config/barista or /etc/barista)")
	fs.StringVar(&f.CA, "ca", "", "`FILE` of the shop's CA (default: beside the key, "+FileCA+")")
	fs.StringVar(&f.Site, "site", "", "`SITE` that is meant: it is refused where the broker is another's")
	fs.StringVar(&f.Creds, "creds", "", "`FILE` of credentials, where others run the broker")
	fs.StringVar(&f.Cert, "cert", "", "`CERTIFICATE,KEY` files, where the broker wants a certificate")
	fs.StringVar(&f.Domain, "domain", "", "`DOMAIN` of JetStream, where it is not the broker's own")
	fs.StringVar(&f.Inbox, "inbox", "", "`PREFIX` of inboxes, where others wrote the permissions")
}

var prefix = regexp.MustCompile(`^_INBOX[A-Za-z0-9_-]{0,64}(\.[A-Za-z0-9_-]{1,64}){0,4}$`)

// way is what the command line and this computer say. usual: key or CA come from this
// computer's folders, and nobody has asked for them.
func (f *Flags) way() (w *Way, usual bool, err error) {
	w = &Way{}
	if w.Servers, err = f.servers(); err != nil {
		return nil, false, err
	}
	switch {
	case f.Key != "" && f.Creds != "":
		return nil, false, term.Usage("--key and --creds at once: one of them says who you are")
	case f.Domain != "" && f.Site != "":
		return nil, false, term.Usage("--site names a domain already: leave --domain out")
	case f.Inbox != "" && !prefix.MatchString(f.Inbox):
		return nil, false, term.Usage("--inbox %s can't be the prefix of an inbox: write for example _INBOX_op.ada", term.Quote(f.Inbox))
	}
	w.Domain = f.Domain + f.Site
	path, ca, usual := f.files(w)
	if path != "" {
		if w.Key, err = keys.Load(path); err != nil {
			return nil, false, err
		}
	}
	cert, key, pair := strings.Cut(f.Cert, ",")
	if f.Cert != "" && !pair {
		return nil, false, term.Usage("--cert names two files with a comma between them: CERTIFICATE,KEY")
	}
	if w.TLS, err = secure(ca, cert, key); err != nil {
		return nil, false, term.Fail(term.ExitUnauthorised, "", "%w", err)
	}
	return w, usual, nil
}

// files are those of the key and of the CA, as the flags, the environment or this
// computer's folders say.
func (f *Flags) files(w *Way) (key, ca string, usual bool) {
	key, ca = cmp.Or(f.Key, f.Creds, os.Getenv(EnvKey)), f.CA
	if key == "" && loopback(w.Servers) {
		key, usual = found()
	}
	for _, name := range []string{FileCA, keys.FileCA} {
		if beside := filepath.Join(filepath.Dir(key), name); key != "" && ca == "" && there(beside) {
			ca = beside
		}
	}
	return key, ca, usual
}

// found is the key that lies ready on this computer for whoever runs the verb.
func found() (path string, is bool) {
	for _, dir := range Home() {
		path := filepath.Join(dir, FileKey)
		if f, err := os.Open(path); err == nil { // one of root's is no key for others
			f.Close()
			return path, true
		}
	}
	return "", false
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// servers are the URLs to dial: the flag goes before the environment, that before the
// default.
func (f *Flags) servers() ([]string, error) {
	from, list := "--nats", f.NATS
	if list == "" {
		from, list = configs.EnvNATS, os.Getenv(configs.EnvNATS)
	}
	if list == "" {
		return []string{DefaultNATS}, nil
	}
	var out []string
	for s := range strings.SplitSeq(list, ",") {
		s = strings.TrimSpace(s)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" {
			// The text is not repeated: it may hold a password.
			return nil, term.Usage("%s is not the URL of a NATS server; write for example %s", from, DefaultNATS)
		}
		out = append(out, s)
	}
	return out, nil
}

// Conn is a verb's connection.
type Conn struct {
	*queue.Conn
	Through bool // its key sees no stream, see Shop
	denied  chan *queue.Unusable
}

// Dial connects a verb to its shop; the caller closes it. more say how else it connects.
// The errors are *term.Error.
func (f *Flags) Dial(ctx context.Context, more ...func(*queue.Config)) (*Conn, error) {
	w, usual, err := f.way()
	if err != nil {
		if e := Explain(err); e != nil {
			return nil, e
		}
		return nil, err
	}
	c := &Conn{denied: make(chan *queue.Unusable, 1)}
	for {
		c.Conn, err = w.dial(ctx, f.Inbox, c.denied, more...)
		c.Through = w.Through()
		// What lies ready on this computer is for its shop; the demo beside it wants
		// nothing of it. To others it is never left out.
		switch {
		case err == nil:
			if err := f.isSite(c); err != nil {
				c.Close()
				return nil, err
			}
			return c, nil
		case usual && errors.Is(err, queue.ErrKeyless):
			w.Key, w.Inbox = nil, ""
		case usual && errors.Is(err, queue.ErrNoTLS) && f.CA == "" && f.Cert == "":
			w.TLS = nil
		default:
			if e := Explain(err); e != nil {
				return nil, e
			}
			e := term.Fail(term.ExitTimeout, "is the shop running, and is the address right? give it with --nats or NATS_URL",
				"no broker answers at %s", queue.Shown(w.Servers))
			e.Cause = err
			return nil, e
		}
	}
}

// isSite sees that the broker which answers is that of the site that is meant. Nothing of
// a shop passes the link to a hub: there, a verb for a site would be one for the hub's own
// shop.
func (f *Flags) isSite(c *Conn) error {
	if f.Site == "" {
		return nil
	}
	const hint = "each site is a shop of its own, and nothing of it passes the link to a hub: name the site's own broker with --nats"
	switch is, ours := broker.DomainOf(c.ServerName()); {
	case ours && is == "":
		return term.Fail(term.ExitRefused, hint, "the broker that answers is of no site, and %s is meant", term.Quote(f.Site))
	case ours && is != f.Site:
		return term.Fail(term.ExitRefused, hint, "the broker that answers is that of %s, and %s is meant", term.Quote(is), term.Quote(f.Site))
	case !ours && c.Through:
		return term.Fail(term.ExitRefused, "leave --site out where you know whose broker it is", "a server of others does not say of which site it is")
	}
	return nil
}

// dial is one try. Each run has an inbox of its own, below that of its key, so that no
// run hears the answers to another one.
func (w *Way) dial(ctx context.Context, prefix string, denied chan<- *queue.Unusable, more ...func(*queue.Config)) (*queue.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	run := hex.EncodeToString(id[:])
	cfg := queue.Config{Denied: func(u *queue.Unusable) {
		select {
		case denied <- u:
		default:
		}
	}}
	w.Into(&cfg)
	cfg.Name = "cli-" + run
	switch own := inbox(w.Key); {
	case prefix != "":
		cfg.Inbox = prefix + "." + run
	case own != "":
		cfg.Inbox = own + "." + run
	}
	for _, say := range more {
		say(&cfg)
	}
	return queue.Connect(ctx, cfg)
}

// While does something over the connection, which ends at once when the broker says
// that this key may not do that: the answer would never come.
func (c *Conn) While(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case u := <-c.denied:
			cancel(u)
		case <-ended:
		}
	}()
	err := do(ctx)
	close(ended)
	<-watched
	defer cancel(nil)
	if u, is := errors.AsType[*queue.Unusable](context.Cause(ctx)); is && err != nil {
		return Explain(u)
	}
	return err
}
