package configs

import (
	"net/url"
	"strings"
	"time"
)

// Alerts tells a person who is not looking that the shop needs a hand.
type Alerts struct {
	Pos     Pos
	Webhook string // URL that gets JSON; empty: none
	Ntfy    string // URL of a topic; empty: none
	Token   string // file with what both ask for; empty: nothing
	After   time.Duration
	Quiet   Quiet
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
	if hook == nil && topic == nil {
		m.Node().Problem("nobody is told", "name where alerts go: webhook: https://example.org/hook, or ntfy: https://ntfy.sh/a-topic-of-yours")
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
