package alert

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"barista/fleet"
)

// Mail is where alerts go by mail. Over a network nothing goes but by TLS, and nothing to
// a server that does not show by its certificate that it is the one; a server on this
// computer is spoken to as it is.
type Mail struct {
	Host     string // a name or an address
	Port     int    // 465: TLS from the first byte; any other: STARTTLS
	From     string // an address, and nothing else
	To       []string
	User     string                 // empty: the server asks for none
	Password func() (string, error) // of User, asked for at each message

	// Of a test: whose certificates are believed, and a way to a name; nil: the system's.
	roots *x509.CertPool
	reach func(ctx context.Context, network, at string) (net.Conn, error)
}

// tlsPort is where a server waits for TLS and for nothing before it (RFC 8314).
const tlsPort = 465

// here reports whether the server is on this computer, by what the file calls it.
func (m *Mail) here() bool {
	at, err := netip.ParseAddr(m.Host)
	return m.Host == "localhost" || err == nil && at.IsLoopback()
}

func (m *Mail) server() string { return net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) }

func (m *Mail) tls() *tls.Config {
	return &tls.Config{ServerName: m.Host, MinVersion: tls.VersionTLS12, RootCAs: m.roots}
}

// send tells one person. It ends with its context, whatever the server does.
func (m *Mail) send(ctx context.Context, to string, msg message, now time.Time) error {
	letter, err := m.write(to, msg, now)
	if err != nil {
		return err
	}
	conn, err := m.dial(ctx)
	if err != nil {
		return err
	}
	// The library waits by the clock alone, and leaves a connection open over which it
	// was refused.
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client, err := m.client(conn)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, letter)
	switch {
	case err == nil, letter.IsDelivered(): // the goodbye may fail; what is sent again comes twice
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s answers too late", m.server())
	}
	why, _, _ := strings.Cut(err.Error(), ", affected message ID")
	why = strings.TrimPrefix(strings.TrimPrefix(why, "dial failed: "), "send failed: ")
	return fmt.Errorf("%s did not take it: %s", m.server(), fleet.Plain(why))
}

// dial reaches the server.
func (m *Mail) dial(ctx context.Context) (net.Conn, error) {
	reach := m.reach
	if reach == nil {
		reach = new(net.Dialer).DialContext
	}
	conn, err := reach(ctx, "tcp", m.server())
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %s", m.server(), fleet.Plain(err.Error()))
	}
	at, is := conn.RemoteAddr().(*net.TCPAddr)
	if m.here() && !(is && at.IP.IsLoopback()) {
		conn.Close()
		return nil, fmt.Errorf("%s is not on this computer, and would be spoken to without TLS: write its own name", m.Host)
	}
	if m.Port != tlsPort {
		return conn, nil
	}
	secure := tls.Client(conn, m.tls())
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("no TLS with %s: %s", m.server(), fleet.Plain(err.Error()))
	}
	return secure, nil
}

// client speaks over a connection.
func (m *Mail) client(conn net.Conn) (*mail.Client, error) {
	opts := []mail.Option{
		mail.WithDialContextFunc(func(context.Context, string, string) (net.Conn, error) { return conn, nil }),
		mail.WithPort(m.Port), mail.WithTimeout(within), mail.WithTLSConfig(m.tls()), mail.WithoutNoop(), mail.WithoutRset(),
	}
	_, secure := conn.(*tls.Conn)
	if secure || m.here() {
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS)) // there is TLS already, or it needs none
	} else {
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.User == "" {
		return mail.NewClient(m.Host, opts...)
	}
	password, err := m.Password()
	if err != nil {
		return nil, fmt.Errorf("the password: %w", err)
	}
	// Whoever is on this computer and could listen could read the file as well.
	plain, login := mail.SMTPAuthPlain, mail.SMTPAuthLogin
	if m.here() && !secure {
		plain, login = mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc
	}
	return mail.NewClient(m.Host, append(opts, mail.WithUsername(m.User), mail.WithPassword(password),
		mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, plain, login))...)
}

// write makes the letter. Its head has what the file says and a figure: no text of a
// machine, of a person or of an order comes there.
func (m *Mail) write(to string, msg message, now time.Time) (*mail.Msg, error) {
	letter := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(letter.From(m.From), letter.To(to)); err != nil {
		return nil, fmt.Errorf("an address can't be used: %w", err)
	}
	letter.Subject(fleet.Plain(msg.Title))
	letter.SetDateWithValue(now)
	_, domain, _ := strings.Cut(m.From, "@")
	letter.SetMessageIDWithValue(rand.Text() + "@" + domain)
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holidays answer it
	if !msg.OK {
		letter.SetImportance(mail.ImportanceHigh)
	}
	letter.SetBodyString(mail.TypeTextPlain, msg.Text+"\n")
	return letter, nil
}
