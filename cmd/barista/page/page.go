// Package page opens the shop's website as its file says: the address, the names
// and the certificate, the house's PIN, and how customers find it. What the pages
// say is package web's affair, and what they are joined to is the shop's.
//
// It refuses to open to the network without TLS where nobody has asked for that.
// What Open returns is served by Serve, until its context ends.
package page

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"barista/cmd/barista/gate"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver/guard"
	"barista/fleet/keys"
	"barista/fleet/operators"
	"barista/fleet/web"
)

// Page is the website, listening.
type Page struct {
	*web.Web
	Listener net.Listener
	scheme   string
	customer string // its address as phones write it; empty where only this computer reaches it
	proxied  bool
	staff    *operators.Store // nil: nobody logs in
}

// Open reads what the file names, and listens. parts is joined already, but for
// what the file says; its TLS, which may be nil, is the shop's own, for pages that
// the network may see and that have no other certificate. A demo, which has no file,
// has no logins.
func Open(file *configs.File, parts web.Parts) (*Page, error) {
	f, state := file.Web, file.State
	p := &Page{scheme: "http", proxied: len(f.Proxies) > 0}
	if file.Path != "" {
		p.staff = operators.NewStore(state, guard.SinceBoot)
		parts.Logins = operators.New(p.staff, operators.Config{Log: parts.Log})
	}
	parts.Hosts, parts.Proxies, parts.OpenOrders, parts.CustomersSettle = f.Hosts, f.Proxies, f.OpenOrders, f.CustomersSettle
	var err error
	if parts.Key, err = web.Key(filepath.Join(state, "web.key")); err != nil {
		return nil, err
	}
	if f.PIN != "" {
		if parts.PIN, err = pin(f.PIN); err != nil {
			return nil, fmt.Errorf("web.pin: %w", err)
		}
	}
	parts.Broker = brokerAt(file.Broker)
	own := parts.TLS
	parts.TLS = nil
	if f.Cert != "" {
		var named []string
		if parts.TLS, named, err = certificate(f, parts.Log); err != nil {
			return nil, fmt.Errorf("web.cert: %w", err)
		}
		parts.Hosts = append(parts.Hosts, named...)
		p.scheme = "https"
	}
	if p.Listener, err = net.Listen("tcp", f.Listen); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if !alone(p.Listener.Addr()) {
		if parts.TLS == nil && !f.Plain && own != nil {
			parts.TLS, p.scheme = own, "https"
			parts.Hosts = append(parts.Hosts, gate.Names()...)
		}
		if parts.TLS == nil && !f.Plain {
			p.Listener.Close()
			return nil, fmt.Errorf("web: %s would be open to the network without TLS: give the file web: {cert, key}, or plain: true where the house wants plain http", f.Listen)
		}
		if name, err := os.Hostname(); err == nil {
			parts.Hosts = append(parts.Hosts, name, name+".local")
		}
		if len(f.Proxies) == 0 { // else its public name and port are the proxy's affair
			p.customer = p.scheme + "://" + reach(p.Listener.Addr(), parts.Hosts, len(f.Hosts) > 0 || f.Cert != "")
		}
	}
	parts.Address = p.customer
	p.Web = web.New(parts)
	return p, nil
}

// certificate is the file's, followed while it is served, with the names in it.
func certificate(f *configs.Web, log *slog.Logger) (*tls.Config, []string, error) {
	key := f.CertKey
	if key == configs.Credential {
		var err error
		if key, err = credential("web.key"); err != nil {
			return nil, nil, err
		}
	}
	pair, err := keys.LoadPair(f.Cert, key)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, n := range pair.Names() {
		if !strings.Contains(n, "*") { // of such a certificate the file says which names are ours
			names = append(names, n)
		}
	}
	served, err := keys.Serve(f.Cert, key, nil, log)
	if err != nil {
		return nil, nil, err
	}
	return keys.ServerTLS(served, nil), names, nil
}

// credential is the path of what systemd gives the service under a name.
func credential(name string) (string, error) {
	dir := os.Getenv(keys.EnvCredentials)
	if dir == "" {
		return "", fmt.Errorf("systemd gives this process no credentials; name a file, or write LoadCredential=%s:FILE into the unit", name)
	}
	return filepath.Join(dir, name), nil
}

// The length of a PIN, in characters: less is guessed, more is not typed.
const leastPIN, mostPIN = 4, 64

// pin reads the house's PIN. It may be known to every guest, so its file must be
// out of reach of other users of this computer, and no more.
func pin(path string) (string, error) {
	others := os.FileMode(0o077)
	if path == configs.Credential {
		var err error
		if path, err = credential("web.pin"); err != nil {
			return "", err
		}
		others = 0o007 // systemd's access list shows as the group's
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return "", err
	} else if st.Mode().Perm()&others != 0 {
		return "", fmt.Errorf("%s is refused, others may read it (mode %04o): chmod 600 it", path, st.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return "", err
	}
	s := strings.TrimSpace(string(b))
	if n := len([]rune(s)); n < leastPIN || n > mostPIN || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%s: a PIN has %d to %d characters on one line", path, leastPIN, mostPIN)
	}
	return s, nil
}

// brokerAt is where computers that are to join find the broker of this process: one that
// listens for this computer alone is found from here alone. Empty: nowhere.
func brokerAt(f *configs.Broker) string {
	if f == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(f.Listen)
	host, port, split := net.SplitHostPort(f.Listen)
	name, named := os.Hostname()
	switch {
	case split != nil: // it listens nowhere
		return ""
	case err == nil && !at.Addr().IsUnspecified(), err != nil && host != "":
		return net.JoinHostPort(host, port)
	case named != nil:
		return ""
	}
	if name = strings.ToLower(name); !strings.Contains(name, ".") {
		name += ".local"
	}
	return net.JoinHostPort(name, port)
}

// alone reports whether only this computer reaches an address.
func alone(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// reach is where a phone finds what listens there: by the first name that somebody
// chose, else by a number, which needs no names to be told in the house.
func reach(a net.Addr, hosts []string, chosen bool) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	host := ap.Addr().Unmap().WithZone("")
	name := host.String()
	switch {
	case chosen:
		name = hosts[0]
	case host.IsUnspecified():
		name = outward(hosts[0])
	}
	port := ap.Port()
	return net.JoinHostPort(name, fmt.Sprint(port))
}

// outward is this computer's own address in its network, or the name.
func outward(name string) string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return name
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	return name
}

// Serve answers until ctx ends.
func (p *Page) Serve(ctx context.Context) error { return p.Web.Serve(ctx, p.Listener) }

// Close gives the address back, for a page that was never served.
func (p *Page) Close() error { return p.Listener.Close() }

// URL is where this computer finds the page.
func (p *Page) URL() string { return p.scheme + "://" + p.nearby() }

func (p *Page) nearby() string {
	ap, err := netip.ParseAddrPort(p.Listener.Addr().String())
	if err != nil || !ap.Addr().IsUnspecified() {
		return p.Listener.Addr().String()
	}
	return fmt.Sprintf("127.0.0.1:%d", ap.Port())
}

// Greet says where the page is, and shows it to phones if w is a terminal.
func (p *Page) Greet(w io.Writer) {
	at := p.URL()
	if p.customer != "" {
		at = p.customer
	}
	fmt.Fprintf(w, "  order   %s\n  board   %s/board\n", at, at)
	if p.customer != "" {
		term.QR(w, p.customer)
	}
	p.first(w)
}

// first prints the code with which somebody becomes the first operator, while there is
// none.
func (p *Page) first(w io.Writer) {
	if p.staff == nil {
		return
	}
	code, err := p.staff.First()
	switch {
	case errors.Is(err, operators.ErrHave):
		return
	case err != nil:
		fmt.Fprintf(w, "  nobody can log in: %v\n", err)
		return
	}
	at := p.URL() + "/login"
	switch {
	case p.proxied:
		at = "the page's public address with /login" // which the proxy knows
	case p.customer != "" && p.scheme == "https":
		at = p.customer + "/login"
	}
	fmt.Fprintf(w, "  to become the first operator open %s\n          and give this code: %s (good for %d minutes, once)\n", at, code, int(operators.CodeTime.Minutes()))
}

// Answers asks the page whether it lives, as anybody on this computer would.
func (p *Page) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/livez", nil)
	if err != nil {
		return err
	}
	req.Close = true
	// It is our own listener that we ask, under a name that no certificate has.
	ask := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	res, err := ask.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}
