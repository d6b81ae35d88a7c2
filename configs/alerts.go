package configs

import (
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Alerts tells a person who is not looking that the shop needs a hand.
type Alerts struct {
	Pos     Pos
	Webhook string // URL that gets JSON; empty: none
	Ntfy    string // URL of a topic; empty: none
	Token   string // file with what both ask for; empty: nothing
	Mail    *Mail  // nil: none
	After   time.Duration
	Quiet   Quiet
}

// Mail is by which server somebody is told. There is no key for TLS: it is asked of every
// server that is not on this computer.
type Mail struct {
	Pos      Pos
	Host     string
	Port     int
	From     string
	To       []string
	User     string // empty: the server asks for none
	Password string // file with that of User
}

// Quiet are the hours of each day in which nothing is sent, since midnight by the local
// clock; both 0: none.
type Quiet struct{ From, To time.Duration }

// DefaultAfter is how long something is wrong before a person is called.
const DefaultAfter = time.Minute

func decodeAlerts(m *Map) *Alerts {
	c := &Alerts{Pos: m.Node().Pos(), After: DefaultAfter}
	hook, topic, token := m.Get("webhook"), m.Get("ntfy"), m.Get("token")
	c.Webhook, c.Ntfy = target(hook), target(topic)
	letters := m.Get("mail")
	if letters != nil {
		c.Mail = decodeMail(letters.Map())
	}
	if hook == nil && topic == nil && letters == nil {
		m.Node().Problem("nobody is told", "name where alerts go: webhook: https://example.org/hook, ntfy: https://ntfy.sh/a-topic-of-yours, or mail:")
	}
	if token != nil && hook == nil && topic == nil {
		token.KeyProblem("is for a webhook or ntfy", "remove it; a mail server's is mail: {user: …, password: FILE}")
	}
	if c.Token = secretFile(token); c.Token == Credential {
		token.Problem("only keys and the website's secrets come from systemd so", "name the file, mode 0600: token: /etc/barista/alerts.token")
	}
	if v, ok := m.Get("after").Duration(0, 24*time.Hour); ok {
		c.After = v
	}
	quiet := m.Get("quiet")
	if s, ok := quiet.Text(); ok {
		if c.Quiet, ok = hours(s); !ok {
			quiet.Problem(Quote(s)+" are no hours of a day", `write from and to by the local clock: quiet: "22:00-06:30"`)
		}
	}
	return c
}

const (
	// usualPort is where a mail server takes what people send (RFC 6409).
	usualPort = 587
	mostTold  = 10
)

// host is a name or an address, without a port.
var host = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$`)

func decodeMail(m *Map) *Mail {
	c := &Mail{Pos: m.Node().Pos(), Port: usualPort}
	at := m.Need("host", "name the mail server: host: smtp.example.org")
	if s, ok := at.Text(); ok {
		if c.Host = s; !host.MatchString(s) || strings.Contains(s, ":") && net.ParseIP(s) == nil {
			at.Problem(Quote(s)+" is no server's name", "write it alone, and a port below it: host: smtp.example.org, port: 587")
		}
	}
	if v, ok := m.Get("port").Int(1, 65535); ok {
		c.Port = v
	}
	c.From = letterbox(m.Need("from", "name who the mail is from: from: barista@example.org"))
	list, _ := m.Need("to", "name who is told: to: [lea@example.org]").List(1, mostTold)
	for _, n := range list {
		switch s := letterbox(n); {
		case s == "":
		case slices.Contains(c.To, s):
			n.Problem(Quote(s)+" is there twice", "remove one")
		default:
			c.To = append(c.To, s)
		}
	}
	user, password := m.Get("user"), m.Get("password")
	c.User, _ = user.Text()
	switch c.Password = secretFile(password); {
	case user != nil && password == nil:
		user.KeyProblem("has no password", "name the file that has it, mode 0600: password: /etc/barista/mail.password")
	case user == nil && password != nil:
		password.KeyProblem("is nobody's", "name who comes in with it: user: barista@example.org")
	case c.Password == Credential:
		password.Problem("only keys and the website's secrets come from systemd so", "name the file, mode 0600: password: /etc/barista/mail.password")
	}
	return c
}

// letterbox is an address of mail, and nothing beside it: it comes into the head of a
// letter, and into what is said to a server.
func letterbox(n *Node) string {
	s, ok := n.Text()
	if !ok {
		return ""
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || a.Name != "" || len(s) > 254 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>()[]\,;:`, r) }) {
		n.Problem(Quote(s)+" is no address of mail", "write it alone, in ASCII: lea@example.org")
		return ""
	}
	return s
}

// target is a URL to which messages are sent. It is not repeated: whoever knows it may
// send there too.
func target(n *Node) string {
	s, ok := n.Text()
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Fragment != "":
		n.Problem("is not the URL of a website", "write for example https://ntfy.sh/a-topic-of-yours")
	case u.User != nil:
		n.Problem("has a name or password in it", "remove it, and name a file with a token: token: /etc/barista/alerts.token")
	default:
		return s
	}
	return ""
}

// hours reads "22:00-06:30".
func hours(s string) (Quiet, bool) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return Quiet{}, false
	}
	begin, err := time.Parse("15:04", strings.TrimSpace(from))
	end, err2 := time.Parse("15:04", strings.TrimSpace(to))
	if err != nil || err2 != nil || begin.Equal(end) {
		return Quiet{}, false
	}
	midnight := begin.Truncate(24 * time.Hour)
	return Quiet{begin.Sub(midnight), end.Sub(midnight)}, true
}
