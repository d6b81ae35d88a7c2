package web

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"

	"barista/fleet/keys"
)

// overTLSFromAfar lets the house speak TLS, to browsers that come by a proxy and so are
// not taken for this computer's.
func (h *house) overTLSFromAfar() string {
	h.t.Helper()
	now := time.Now()
	ca, err := keys.NewCA("a test's shop", now)
	if err != nil {
		h.t.Fatal(err)
	}
	pair, err := ca.Server([]string{"localhost", "127.0.0.1"}, now, time.Hour)
	if err != nil {
		h.t.Fatal(err)
	}
	h.web.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, MinVersion: tls.VersionTLS13}
	h.web.Proxies = prefixes("127.0.0.1/32")
	return strings.Replace(h.listening(), "http://127.0.0.1", "https://localhost", 1)
}

// comesFrom makes a browser one that came by a proxy from that address, and trust any
// certificate.
func (b *browser) comesFrom(t *testing.T, address string) {
	command(t, b, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	command(t, b, network.Enable, network.EnableParams{})
	command(t, b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": "en", "X-Forwarded-For": address}})
}

// another is a second browser of the same person: its cookies are its own.
func (b *browser) another(t *testing.T) *browser {
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return &browser{ctx: ctx}
}

// sessionCookie is the one that lets the page in, or nil.
func (b *browser) sessionCookie(t *testing.T) *network.Cookie {
	t.Helper()
	got, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got.Cookies {
		if strings.HasSuffix(c.Name, operatorCookie) {
			return c
		}
	}
	return nil
}

func (b *browser) login(t *testing.T, at, name, password string) {
	t.Helper()
	b.do(t, chromedp.Navigate(at+"/login"), chromedp.WaitVisible("#login"), chromedp.SendKeys("#name", name),
		chromedp.SendKeys("#password", password), chromedp.Click("#login button"))
}

func TestBrowserLogsIn(t *testing.T) {
	b := startBrowser(t)
	h, store := staffed(t)
	h.run()
	at := h.overTLSFromAfar()
	b.comesFrom(t, "192.0.2.7")
	code, err := store.First()
	if err != nil {
		t.Fatal(err)
	}

	// The first operator, from where a customer would look.
	b.do(t, chromedp.Navigate(at+"/board"), chromedp.Navigate(at+"/"), chromedp.Click(".foot a"), chromedp.WaitVisible("#coding"))
	b.do(t, chromedp.SendKeys("#code", code), chromedp.SendKeys("#newname", bossName), chromedp.SendKeys("#new", bossPassword),
		chromedp.SendKeys("#again", bossPassword), chromedp.Click("#coding button"))
	b.see(t, ".you", "You are logged in as boss.")
	c := b.sessionCookie(t)
	if c == nil || c.Name != "__Host-operator" || !c.Secure || !c.HTTPOnly || !c.Session || c.SameSite != network.CookieSameSiteStrict || c.Path != "/" {
		t.Errorf("the browser holds %+v", c)
	}
	if seen := get(t, b, chromedp.Evaluate[string](`document.cookie`)); strings.Contains(seen, "operator") {
		t.Errorf("a script sees %s", seen)
	}
	first := c.Value
	b.do(t, chromedp.Click(".you .quiet")) // machines
	b.see(t, "h1", "Machines")

	// Another browser of the same person: wrong, planted, right.
	two := b.another(t)
	two.comesFrom(t, "192.0.2.8")
	two.login(t, at, bossName, "wrong password")
	two.see(t, "#problem", "No operator has this name with this password.")
	const planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	command(t, two, network.SetCookie, network.SetCookieParams{Name: "__Host-operator", Value: planted, URL: at, Path: "/", Secure: new(true)})
	two.login(t, at, bossName, bossPassword)
	two.see(t, ".you", "You are logged in as boss.")
	if c = two.sessionCookie(t); c == nil || c.Value == planted || c.Value == first {
		t.Errorf("the session after the login is %+v", c)
	}
	two.do(t, chromedp.Navigate(at+"/fleet"))
	two.see(t, "h1", "Machines")

	// Logged out everywhere by the first, at once: the second's open page loses its
	// news, and what it presses leads to the login.
	b.do(t, chromedp.Navigate(at+"/operators"), chromedp.Click("#everywhere"), chromedp.WaitVisible("#login"))
	two.do(t, chromedp.WaitVisible("#lost"))
	two.do(t, chromedp.Reload(), chromedp.WaitVisible("#login"))
	for _, brought := range []string{first, c.Value, planted} {
		if name, ok := h.web.Logins.Who(brought); ok {
			t.Errorf("a session that was ended lets %s in", name)
		}
	}
	for _, said := range b.complained() { // that a page refused is told on the console, too
		// Nor does a browser take the page for the time without a connection over a
		// certificate that it was only told to put up with.
		if !strings.Contains(said, "403") && !strings.Contains(said, "SSL certificate error occurred when fetching the script") {
			t.Errorf("the pages complained: %s", said)
		}
	}
	lacks(t, h.log.String(), bossPassword, code, first)
}

// In the clear at this computer, and without script.
func TestBrowserLogsInWithoutScript(t *testing.T) {
	b := startBrowser(t)
	h, _, _ := hired(t)
	h.run()
	at := h.listening()
	command(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.login(t, at, bossName, bossPassword)
	b.do(t, chromedp.WaitVisible("#everywhere"))
	if c := b.sessionCookie(t); c == nil || c.Name != "operator" || c.Secure || !c.HTTPOnly || c.SameSite != network.CookieSameSiteStrict {
		t.Errorf("the browser holds %+v", c)
	}
	b.do(t, chromedp.Click("#logout"), chromedp.WaitVisible("#order"))
	if c := b.sessionCookie(t); c != nil {
		t.Errorf("after the logout the browser holds %+v", c)
	}
}

// TestOperatorScreens takes pictures of the operators' pages into the folder given by
// -shots, and checks what TestScreens does.
func TestOperatorScreens(t *testing.T) {
	if *shots == "" {
		t.Skip("give -shots FOLDER to have pictures taken")
	}
	h, _, _, secret := doored(t)
	none, _ := staffed(t)
	h.run()
	none.run()
	at, empty := h.listening(), none.listening()
	for _, view := range []struct {
		w, h         int64
		scheme, lang string
	}{
		{375, 812, "light", "en"}, {375, 812, "dark", "fr"}, {1280, 800, "light", "fr"}, {1280, 800, "dark", "en"},
	} {
		t.Run(fmt.Sprintf("%d-%s-%s", view.w, view.scheme, view.lang), func(t *testing.T) {
			b := startBrowser(t)
			command(t, b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: view.w, Height: view.h, DeviceScaleFactor: 1, Mobile: view.w < 500})
			command(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: view.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
			look := func(page, url string, steps ...chromedp.Action[chromedp.Void]) {
				b.do(t, append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(url), chromedp.WaitVisible("#content")}, steps...)...)
				if wide := get(t, b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > view.w {
					t.Errorf("%s at %d px is %d px wide", page, view.w, wide)
				}
				if small := get(t, b, chromedp.Evaluate[[]string](smallTargets)); len(small) > 0 {
					t.Errorf("%s at %d px: targets smaller than 44 px: %q", page, view.w, small)
				}
				if pale := get(t, b, chromedp.Evaluate[[]string](paleText)); len(pale) > 0 {
					t.Errorf("%s, %s: contrast below 4.5: %q", page, view.scheme, pale)
				}
				png := get(t, b, chromedp.FullScreenshot(100))
				file := filepath.Join(*shots, fmt.Sprintf("%s-%dx%d-%s-%s.png", page, view.w, view.h, view.scheme, view.lang))
				if err := os.WriteFile(file, png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			command(t, b, network.ClearBrowserCookies, cdp.Empty{})
			look("first", empty+"/login?lang="+view.lang)
			look("login", at+"/login?lang="+view.lang)
			look("wrong", at+"/login?lang="+view.lang, chromedp.SendKeys("#name", "zoe"), chromedp.SendKeys("#password", "wrong password"),
				chromedp.Click("#login button"), chromedp.WaitVisible("#problem"))
			look("coding", at+"/login?lang="+view.lang, chromedp.Click("summary"))
			look("unknown", at+"/operators?lang="+view.lang)
			command(t, b, network.SetCookie, network.SetCookieParams{Name: "operator", Value: secret, URL: at, Path: "/"})
			look("operators", at+"/operators?done=refused&lang="+view.lang, chromedp.Click("details summary"))
			look("form", at+"/?lang="+view.lang)
		})
	}
}
