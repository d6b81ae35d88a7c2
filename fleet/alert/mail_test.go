package alert

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const mailHost = "smtp.example.org"

// letter is one that a server took.
type letter struct {
	from, to, text string
	as             string // who came in, as AUTH PLAIN says it
	secure         bool
}

// postOffice is a mail server on loopback.
type postOffice struct {
	t        *testing.T
	port     int
	cert     tls.Certificate
	roots    *x509.CertPool
	starttls bool // offers it
	implicit bool // speaks TLS at once
	auth     string
	answer   func(line string) string // instead of its own; "-": it says nothing any more, "!": it hangs up

	mu      sync.Mutex
	lines   []string // all it heard
	letters []letter
}

// opens makes it ready, with a certificate for mailHost.
func (p *postOffice) opens(t *testing.T) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sheet := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{mailHost}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, sheet, sheet, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.t, p.roots, p.cert = t, x509.NewCertPool(), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	p.roots.AddCert(leaf)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port = ln.Addr().(*net.TCPAddr).Port
	var wg sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ended, func() { conn.Close() })()
				p.speak(conn)
			})
		}
	})
	t.Cleanup(func() { end(); ln.Close(); wg.Wait() })
	return p
}

func (p *postOffice) speak(conn net.Conn) {
	secure := p.implicit
	if p.implicit {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{p.cert}})
	}
	r := bufio.NewReader(conn)
	var l letter
	line := "" // the greeting
	for {
		own := "250 fine"
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "":
			own = "220 a test"
		case "EHLO":
			own = "250-a test\r\n250-8BITMIME\r\n"
			if p.starttls && !secure {
				own += "250-STARTTLS\r\n"
			}
			if p.auth != "" {
				own += "250-AUTH LOGIN PLAIN\r\n"
			}
			own += "250 HELP"
		case "STARTTLS":
			own = "220 go on"
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(line[strings.LastIndex(line, " ")+1:])
			if own = "235 come in"; string(b) != p.auth {
				own = "535 5.7.8 who are you?"
			}
			l.as = string(b)
		case "MAIL":
			l.from = line
			if own = "530 5.7.0 who are you?"; l.as == p.auth {
				own = "250 fine"
			}
		case "RCPT":
			l.to += line
		case "DATA":
			own = "354 write"
		case "QUIT":
			own = "221 bye"
		}
		if p.answer != nil {
			if other := p.answer(line); other != "" {
				own = other
			}
		}
		switch own {
		case "-":
			_, _ = io.Copy(io.Discard, r)
			return
		case "!":
			return
		}
		if _, err := io.WriteString(conn, own+"\r\n"); err != nil || verb == "QUIT" {
			return
		}
		switch {
		case verb == "STARTTLS" && strings.HasPrefix(own, "220"):
			conn, secure = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{p.cert}}), true
			r = bufio.NewReader(conn)
		case verb == "DATA" && strings.HasPrefix(own, "354"):
			b, err := textproto.NewReader(r).ReadDotBytes()
			if err != nil {
				return
			}
			end := "250 queued"
			if p.answer != nil {
				if other := p.answer("."); other != "" {
					end = other
				}
			}
			if end == "!" || end == "-" {
				return
			}
			if strings.HasPrefix(end, "250") {
				l.text, l.secure = string(b), secure
				p.mu.Lock()
				p.letters = append(p.letters, l)
				p.mu.Unlock()
			}
			l.from, l.to = "", ""
			if _, err := io.WriteString(conn, end+"\r\n"); err != nil {
				return
			}
		}
		var err error
		if line, err = textproto.NewReader(r).ReadLine(); err != nil {
			return
		}
		p.mu.Lock()
		p.lines = append(p.lines, line)
		p.mu.Unlock()
	}
}

func (p *postOffice) heard() ([]letter, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.letters), strings.Join(p.lines, "\n")
}

// mail is how it is reached by a name of the network.
func (p *postOffice) mail() *Mail {
	return &Mail{Host: mailHost, Port: 587, From: "barista@example.org", To: []string{"lea@example.org"}, roots: p.roots,
		reach: func(ctx context.Context, network, at string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprint("127.0.0.1:", p.port))
		}}
}

var lettered = Seen{
	Wrong: []Wrong{{Key: "machine zoe fault", Text: "zoe has a fault: too-hot: 131 °C"}, {Key: "unknown", Text: "1 order of which nobody knows"}},
	Next:  []string{`barista machine clear-fault zoe --reason "what was done"`, "barista why last unknown"},
}

func composed(shop string, seen Seen) message {
	var keys []string
	for _, w := range seen.Wrong {
		keys = append(keys, w.Key)
	}
	return compose(Config{Shop: shop, Wall: time.Now}, seen, keys)
}

// TestMail: a letter by each way in, as who reads it has it.
func TestMail(t *testing.T) {
	now := time.Date(2026, 11, 30, 3, 4, 5, 0, time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		p    *postOffice
		with func(*Mail, *postOffice)
	}{
		"starttls":         {&postOffice{starttls: true, auth: "\x00barista\x00hunter2"}, func(*Mail, *postOffice) {}},
		"starttls, no key": {&postOffice{starttls: true}, func(m *Mail, _ *postOffice) { m.User = "" }},
		"tls at once":      {&postOffice{implicit: true, auth: "\x00barista\x00hunter2"}, func(m *Mail, _ *postOffice) { m.Port = 465 }},
		"here": {&postOffice{auth: "\x00barista\x00hunter2"}, func(m *Mail, p *postOffice) {
			m.Host, m.Port, m.reach, m.roots = "127.0.0.1", p.port, nil, nil
		}},
		"here by name": {&postOffice{}, func(m *Mail, p *postOffice) {
			m.Host, m.Port, m.User, m.roots = "localhost", p.port, "", nil // "localhost" may be ::1 first
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.p.opens(t)
			m := p.mail()
			m.User, m.Password = "barista", word("hunter2")
			c.with(m, p)
			msg := composed("corner", lettered)
			for range 2 {
				if err := m.send(t.Context(), "lea@example.org", msg, now); err != nil {
					t.Fatal(err)
				}
			}
			got, _ := p.heard()
			if len(got) != 2 {
				t.Fatalf("%+v", got)
			}
			ids := map[string]bool{}
			for _, l := range got {
				if l.from != "MAIL FROM:<barista@example.org> BODY=8BITMIME" || l.to != "RCPT TO:<lea@example.org>" || l.as != p.auth || l.secure != (p.starttls || p.implicit) {
					t.Errorf("%+v", l)
				}
				head, text := opened(t, l)
				ids[head.Get("Message-ID")] = true
				at, err := head.Date()
				if err != nil || !at.Equal(now) || head.Get("From") != "<barista@example.org>" || head.Get("To") != "<lea@example.org>" || head.Get("Subject") != "corner: 2 things need a hand" ||
					head.Get("Auto-Submitted") != "auto-generated" || head.Get("Importance") != "high" || !strings.HasPrefix(head.Get("Content-Type"), "text/plain; charset=UTF-8") {
					t.Errorf("%v %+v", err, head)
				}
				if text != msg.Text+"\n" {
					t.Errorf("%q", text)
				}
			}
			for id := range ids {
				if len(ids) != 2 || !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, "@example.org>") || len(id) < 30 {
					t.Errorf("%v", ids)
				}
			}
		})
	}
}

// opened is a letter's head and its text.
func opened(t *testing.T, l letter) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.text))
	if err != nil {
		t.Fatalf("%v: %s", err, l.text)
	}
	if how := m.Header.Get("Content-Transfer-Encoding"); how != "quoted-printable" {
		t.Fatalf("%q", how)
	}
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, strings.ReplaceAll(string(b), "\r\n", "\n")
}

// TestMailHead: whatever a machine, a customer or an operator calls himself, it comes
// into no head and ends no letter.
func TestMailHead(t *testing.T) {
	const evil = "\r\n.\r\nMAIL FROM:<eve@example.org>\r\nBcc: eve@example.org\r\nSubject: eve\r\n\r\neve\u2028Bcc: eve@example.org"
	p := (&postOffice{starttls: true}).opens(t)
	seen := Seen{Wrong: []Wrong{{Key: "a", Text: evil}, {Key: "b", Text: "zoe has a fault: " + evil}}, Next: []string{evil}}
	for _, shop := range []string{"corner", "corner" + evil, strings.Repeat("é\n", 900)} {
		if err := p.mail().send(t.Context(), "lea@example.org", composed(shop, seen), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	got, heard := p.heard()
	if len(got) != 3 || strings.Count(heard, "MAIL FROM") != 3 || strings.Contains(heard, "eve@") {
		t.Errorf("%d letters: %s", len(got), heard)
	}
	for i, l := range got {
		head, text := opened(t, l)
		want := []string{"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Importance", "Message-Id", "Mime-Version", "Priority", "Subject", "To", "X-Msmail-Priority", "X-Priority"}
		if keys := slices.Sorted(maps.Keys(head)); !slices.Equal(keys, want) {
			t.Errorf("%q", keys)
		}
		for key, values := range head {
			if len(values) != 1 || key != "Subject" && strings.Contains(values[0], "eve") {
				t.Errorf("%s: %q", key, values)
			}
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(head.Get("Subject"))
		if err != nil || strings.ContainsAny(subject, "\r\n\u2028") || i == 0 && subject != "corner: 2 things need a hand" {
			t.Errorf("%q %v", subject, err)
		}
		if i == 0 && strings.Count(text, "\n") != 4 {
			t.Errorf("%q", text)
		}
	}
}

// TestMailRefused: what a server may do instead, and that nothing is said to one that is
// not the one, or in the clear.
func TestMailRefused(t *testing.T) {
	on := func(verb, answer string) func(string) string {
		return func(line string) string {
			if first, _, _ := strings.Cut(line, " "); first == verb {
				return answer
			}
			return ""
		}
	}
	for name, c := range map[string]struct {
		p     *postOffice
		with  func(*Mail)
		want  string
		never string // is heard
	}{
		"no TLS":         {&postOffice{auth: "\x00barista\x00hunter2"}, nil, "does not support STARTTLS", "AUTH"},
		"no TLS after":   {&postOffice{starttls: true, answer: on("STARTTLS", "454 not now")}, nil, `454 "not now"`, "AUTH"},
		"another's cert": {&postOffice{starttls: true}, func(m *Mail) { m.Host = "smtp.example.net" }, "certificate", "AUTH"},
		"nobody's cert":  {&postOffice{starttls: true}, func(m *Mail) { m.roots = x509.NewCertPool() }, "certificate", "AUTH"},
		"nobody's, TLS":  {&postOffice{implicit: true}, func(m *Mail) { m.Port, m.roots = 465, x509.NewCertPool() }, "no TLS with", "EHLO"},
		"no password":    {&postOffice{starttls: true}, func(m *Mail) { m.Password = func() (string, error) { return "", errors.New("others may read it") } }, "the password: others may read it", "EHLO"},
		"wrong password": {&postOffice{starttls: true, auth: "\x00barista\x00other"}, nil, `AUTH failed: 535 "5.7.8 who are you?"`, "MAIL"},
		"greeting":       {&postOffice{answer: on("", "421 not today")}, nil, `421 "not today"`, "AUTH"},
		"from":           {&postOffice{starttls: true, auth: "\x00barista\x00hunter2", answer: on("MAIL", "550 not you")}, nil, `550 "not you"`, "DATA"},
		"to":             {&postOffice{starttls: true, auth: "\x00barista\x00hunter2", answer: on("RCPT", "550 5.1.1 no such \x1b[2J user")}, nil, `550 "5.1.1 no such \x1b[2J user", affected recipient(s): <lea@example.org>`, "DATA"},
		"letter":         {&postOffice{starttls: true, auth: "\x00barista\x00hunter2", answer: on(".", "452 full")}, nil, `452 "full"`, ""},
		"hangs up":       {&postOffice{answer: on("", "!")}, nil, "EOF", "AUTH"},
		"hangs up late":  {&postOffice{starttls: true, auth: "\x00barista\x00hunter2", answer: on(".", "!")}, nil, "EOF", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.p.opens(t)
			m := p.mail()
			m.User, m.Password = "barista", word("hunter2")
			if c.with != nil {
				c.with(m)
			}
			err := m.send(t.Context(), "lea@example.org", composed("corner", lettered), time.Now())
			letters, heard := p.heard()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\x1b\r\n") || strings.Contains(err.Error(), "affected message") {
				t.Errorf("%v", err)
			}
			if len(letters) > 0 || c.never != "" && strings.Contains(heard, c.never) {
				t.Errorf("%+v, heard %s", letters, heard)
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		m := &Mail{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, From: "a@b", To: []string{"a@b"}}
		if err := m.send(t.Context(), "a@b", composed("corner", lettered), time.Now()); err == nil || !strings.HasPrefix(err.Error(), "no answer from 127.0.0.1:") {
			t.Errorf("%v", err)
		}
	})
	t.Run("not here", func(t *testing.T) {
		here, there := net.Pipe() // an address that is not of this computer
		defer there.Close()
		m := &Mail{Host: "localhost", Port: 25, From: "a@b", To: []string{"a@b"}, reach: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
		if err := m.send(t.Context(), "a@b", composed("corner", lettered), time.Now()); err == nil || !strings.Contains(err.Error(), "is not on this computer") {
			t.Errorf("%v", err)
		}
	})
}

// TestMailTaken: a letter that was taken is not sent again for a goodbye that fails.
func TestMailTaken(t *testing.T) {
	p := (&postOffice{starttls: true, answer: func(line string) string { return map[string]string{"QUIT": "!", "RSET": "!"}[line] }}).opens(t)
	if err := p.mail().send(t.Context(), "lea@example.org", composed("corner", lettered), time.Now()); err != nil {
		t.Error(err)
	}
	if got, _ := p.heard(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestMailSilent: a server that says nothing any more, at whatever point, is left when the
// time is over.
func TestMailSilent(t *testing.T) {
	for _, at := range []string{"", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."} {
		stuck := make(chan struct{})
		p := (&postOffice{starttls: true, answer: func(line string) string {
			if verb, _, _ := strings.Cut(line, " "); verb == at {
				close(stuck)
				return "-"
			}
			return ""
		}}).opens(t)
		ctx, over := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.mail().send(ctx, "lea@example.org", composed("corner", lettered), time.Now()) }()
		<-stuck
		over()
		if err := <-done; err == nil || at != "" && !strings.Contains(err.Error(), "too late") {
			t.Errorf("silent at %q: %v", at, err)
		}
	}
}

// TestMailAndOthers: a server that hangs and an address that is refused hold up nobody
// else, each is said once, and what was refused is sent when it is taken.
func TestMailAndOthers(t *testing.T) {
	var mu sync.Mutex
	hooks, tries, well := 0, 0, false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hooks++
	}))
	defer server.Close()
	p := (&postOffice{starttls: true, answer: func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		if line == "RCPT TO:<max@example.org>" && !well {
			tries++
			return "550 5.1.1 no such user"
		}
		return ""
	}}).opens(t)
	m := p.mail()
	m.To = []string{"lea@example.org", "max@example.org"}
	var log strings.Builder
	a := New(Config{Shop: "corner", Webhook: server.URL, Mail: m, Every: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(context.Context) (Seen, error) { return lettered, nil })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	wait := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(time.Millisecond) {
			mu.Lock()
			ok := is()
			mu.Unlock()
			if ok {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	wait("no second try", func() bool { return tries >= 3 && hooks > 0 })
	mu.Lock()
	well = true
	mu.Unlock()
	wait("no letter", func() bool { l, _ := p.heard(); return len(l) == 2 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	letters, _ := p.heard()
	if len(letters) != 2 || letters[0].to != "RCPT TO:<lea@example.org>" || letters[1].to != "RCPT TO:<max@example.org>" || hooks != 1 {
		t.Errorf("%d, %+v", hooks, letters)
	}
	if s := log.String(); strings.Count(s, "tried again") != 1 || !strings.Contains(s, `550 \"5.1.1 no such user\"`) || !strings.Contains(s, "to=max@example.org") {
		t.Error(s)
	}
}

// TestMailAtOnce: all are told at the same time, so that a server that hangs costs its own
// time and nobody else's; and the end of the shop does not wait for it.
func TestMailAtOnce(t *testing.T) {
	var mu sync.Mutex
	waiting, both := 0, make(chan struct{})
	p := (&postOffice{starttls: true, answer: func(line string) string {
		if line != "" {
			return ""
		}
		mu.Lock()
		if waiting++; waiting == 2 {
			close(both)
		}
		mu.Unlock()
		select {
		case <-both: // who comes alone is not greeted
		case <-t.Context().Done():
		}
		return "-"
	}}).opens(t)
	m := p.mail()
	m.To = []string{"lea@example.org", "max@example.org"}
	var log strings.Builder
	a := New(Config{Shop: "corner", Mail: m, Log: slog.New(slog.NewTextHandler(&log, nil))}, func(context.Context) (Seen, error) { return lettered, nil })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	<-both
	stop()
	if err := <-done; err != nil || log.Len() > 0 {
		t.Error(err, log.String())
	}
}
