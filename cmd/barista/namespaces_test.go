package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"barista/fleet"
)

// pageEnv holds, in the process that is the browser's, the page that is opened and the
// file of the shop's authority.
const (
	pageEnv = "BARISTA_TEST_PAGE"
	caEnv   = "BARISTA_TEST_CA"
)

// twoHouses are two network namespaces with one cable between them; they go with the test.
// The shop is at 10.9.0.1.
func twoHouses(t *testing.T) (shop, pi func(*exec.Cmd) *exec.Cmd) {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("two network namespaces need root and the program ip (apt-get install iproute2)")
	}
	at := func(name string) func(*exec.Cmd) *exec.Cmd {
		return func(cmd *exec.Cmd) *exec.Cmd {
			cmd.Args = append([]string{"ip", "netns", "exec", name, cmd.Path}, cmd.Args[1:]...)
			cmd.Path = ip
			return cmd
		}
	}
	a, b := fmt.Sprintf("barista-a-%d", os.Getpid()), fmt.Sprintf("barista-b-%d", os.Getpid())
	for _, name := range []string{a, b} {
		if out, err := exec.Command(ip, "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made here: %s", out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command(ip, "netns", "del", name).CombinedOutput(); err != nil {
				t.Errorf("%s stays: %s", name, out)
			}
		})
	}
	for _, line := range []string{
		"link add c0 netns " + a + " type veth peer name c0 netns " + b,
		"-n " + a + " addr add 10.9.0.1/24 dev c0", "-n " + b + " addr add 10.9.0.2/24 dev c0",
		"-n " + a + " link set lo up", "-n " + b + " link set lo up",
		"-n " + a + " link set c0 up", "-n " + b + " link set c0 up",
	} {
		if out, err := exec.Command(ip, strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Skipf("no cable between two network namespaces can be laid here: ip %s: %s", line, out)
		}
	}
	return at(a), at(b)
}

// TestTwoHouses is a shop and, in another network, a Pi with a browser: invited, enrolled,
// let in, an order by the page's button over TLS, revoked, cut off within 5 s, and let in
// again under the same name with another key.
func TestTwoHouses(t *testing.T) {
	chromium(t)
	l := newLocked(t)
	shop, pi := twoHouses(t)
	l.port, l.at = 4222, shop
	l.write("shop", "broker: {listen: \"0.0.0.0:4222\"}\ncontroller: {}\nstock: {initial: {arabica: 2000, robusta: 2000}}\nweb: {listen: \"0.0.0.0:8443\"}\n")
	l.run("shop", shop(asMain("run", "--config", l.file("shop.yaml"))))
	l.until("no machines", "machine", "ls")

	joins := func(dir string) *exec.Cmd {
		t.Helper()
		var i fleet.Invitation
		if out := l.says("machine", "invite", "leo", "--json"); json.Unmarshal([]byte(out), &i) != nil || i.Code == "" {
			t.Fatal(out)
		}
		enroll := l.run("enroll-"+dir, pi(asMain("enroll", i.Code, "--shop", "10.9.0.1", "--dir", l.file(dir))))
		l.until("leo waits at the door since ", "key", "list")
		if out := l.says("key", "list"); !strings.Contains(out, ", from 10.9.0.2 with the key ") {
			t.Error(out)
		}
		l.says("machine", "accept", "leo")
		if err := enroll.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, readText(t, l.file("enroll-"+dir+".log")))
		}
		l.write("leo", fmt.Sprintf("nats: {servers: [\"tls://10.9.0.1:4222\"], key: %s, ca: %s}\nmachine: {name: leo, driver: mock, cup: attended, speed: 20, serves: {beans: [arabica, robusta], milk: [free], sizes: [small]}}\n",
			l.file(dir+"/leo.key"), l.file(dir+"/shop-ca.pem")))
		leo := l.run("leo-"+dir, pi(asMain("run", "--config", l.file("leo.yaml"))))
		l.until("ready", "machine", "ls")
		return leo
	}
	leo := joins("first")
	browser := exec.Command(os.Args[0], "-test.run", "^TestBrowserThere$", "-test.v")
	browser.Env = append(os.Environ(), pageEnv+"=https://10.9.0.1:8443/", caEnv+"="+l.file("first/shop-ca.pem"))
	if out, err := pi(browser).CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("the browser: %v\n%s", err, out)
	}
	if out := l.says("orders"); strings.Count(out, " served ") != 1 {
		t.Errorf("the page says served:\n%s", out)
	}

	began := time.Now()
	l.says("machine", "revoke", "leo")
	l.eventually("the broker refuses this key", func() string { return readText(t, l.file("leo-first.log")) }, "the log of leo")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("cut off after %v", took)
	} else {
		t.Logf("cut off %v after the verb began", took)
	}
	endProcess(leo)
	joins("second")
	if out := l.says("order", "--size", "small", "--bean", "arabica", "--milk", "free", "--name", "Bob", "--watch"); !strings.Contains(out, "served") {
		t.Errorf("no coffee of the one that was let in again:\n%s", out)
	}
}

// TestBrowserThere is the browser's side of TestTwoHouses, in the namespace of the Pi, and
// nothing else. A browser that does not know the shop's authority shows nothing.
func TestBrowserThere(t *testing.T) {
	page := os.Getenv(pageEnv)
	if page == "" {
		t.Skip("it is part of TestTwoHouses")
	}
	text, err := os.ReadFile(os.Getenv(caEnv))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	known := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	path := chromium(t)
	if err := chromedp.Do(browse(t, path), chromedp.Navigate(page)); err == nil || !strings.Contains(err.Error(), "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("a browser that does not know the shop: %v", err)
	}
	ctx := browse(t, path, chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(known[:])))
	if err := chromedp.Do(ctx, byButton(page, "arabica")...); err != nil {
		t.Fatal(err)
	}
}

// chromium is where the browser is; a test that finds none is skipped.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	t.Skip("no Chromium here: apt-get install chromium")
	return ""
}

// browse opens a real browser until the test ends.
func browse(t *testing.T, path string, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	return browseFor(t, 100*time.Second, path, more...)
}

// browseFor is browse for as long at most.
func browseFor(t *testing.T, long time.Duration, path string, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("lang", "en"), chromedp.WSURLReadTimeout(60*time.Second)), more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing the browser: %v", err)
		}
	})
	return ctx
}

// byButton orders a small coffee by the page's button, and watches the order's page until
// it is served.
func byButton(page, bean string) []chromedp.Action[chromedp.Void] {
	return []chromedp.Action[chromedp.Void]{
		chromedp.Navigate(page),
		chromedp.WaitVisible("#name"), chromedp.SendKeys("#name", "Zoé & Co"),
		chromedp.Click(`label[for="drink-small"]`), chromedp.Click(`label[for="bean_type-` + bean + `"]`),
		chromedp.Click("#send"),
		chromedp.WaitVisible(".mood-served"),
	}
}
