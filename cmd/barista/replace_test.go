package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"barista/cmd/barista/term"
	"barista/fleet"
)

// refuses is a verb of the shop's operator that must end so, and what it prints.
func (l *locked) refuses(want int, args ...string) string {
	l.t.Helper()
	cmd := asMain(append(args, "--nats", l.server(), "--key", l.file("shop/keys/operator.key"))...)
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != want {
		l.t.Errorf("%v: exit %d, want %d\n%s", args, got, want, out)
	}
	return string(out)
}

// comes has a computer join the shop as zoe by a code, and starts its machine there.
func (l *locked) comes(code, dir, speed string) *exec.Cmd {
	l.t.Helper()
	enroll := l.run("enroll-"+dir, asMain("enroll", code, "--shop", fmt.Sprintf("localhost:%d", l.port), "--dir", l.file(dir)))
	l.until("zoe waits at the door since ", "key", "list")
	l.refuses(0, "machine", "accept", "zoe")
	if err := enroll.Wait(); err != nil {
		l.t.Fatal(err)
	}
	l.write(dir, fmt.Sprintf("nats: {servers: [%q], key: %s, ca: %s}\nmachine: {name: zoe, driver: mock, cup: attended, speed: %s, serves: {beans: [arabica], milk: [free], sizes: [small]}}\n",
		l.server(), filepath.Join(l.file(dir), "zoe.key"), filepath.Join(l.file(dir), "shop-ca.pem"), speed))
	return l.start(dir)
}

func (l *locked) logged(name, text string) {
	l.t.Helper()
	l.eventually(text, func() string { return readText(l.t, l.file(name+".log")) }, name)
}

// TestReplace: a machine dies over a drink, and another computer comes under its name. The
// old one is kept out from then on, what it left in doubt stays so until a person settles
// it, and the new one serves once a person says so. In the end it is retired.
func TestReplace(t *testing.T) {
	l := newLocked(t)
	page := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	l.write("shop", fmt.Sprintf("broker: {listen: \"127.0.0.1:%d\"}\ncontroller: {}\nstock: {initial: {arabica: 2000}}\nweb: {listen: %q}\n", l.port, page))
	l.start("shop")
	l.until("no machines", "machine", "ls")
	var i fleet.Invitation
	if out := l.says("machine", "invite", "zoe", "--json"); json.Unmarshal([]byte(out), &i) != nil || i.Code == "" {
		t.Fatal(out)
	}
	old := l.comes(i.Code, "old", "0.5") // its drink takes a minute: it dies over it
	l.until("ready", "machine", "ls")
	replace := []string{"machine", "replace", "zoe", "--reason", "its computer is broken", "--json"}
	if out := l.refuses(term.ExitRefused, replace...); !strings.Contains(out, "zoe is in service") {
		t.Error(out)
	}

	order := []string{"order", "--size", "small", "--bean", "arabica", "--milk", "free", "--name", "Ada"}
	first, second := testID(1), testID(2)
	l.refuses(0, append(order, "--id", first)...)
	l.until(`"phase":"brewing"`, "orders", "--json")
	if err := old.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = old.Wait()
	l.until("away", "machine", "ls")
	if out := l.refuses(term.ExitRefused, replace...); !strings.Contains(out, first+" (brewing)") || !strings.Contains(out, "barista machine revoke zoe") {
		t.Error(out)
	}
	l.refuses(0, "machine", "revoke", "zoe")
	l.until(`"phase":"unknown"`, "orders", "--json")
	if out := l.refuses(term.ExitRefused, replace...); !strings.Contains(out, "barista settle "+first) {
		t.Error(out)
	}

	// The old one comes back with its old key, and is refused; nothing that it knows is heard.
	l.start("old")
	l.logged("old", "the broker refuses this key")
	if out := l.says("orders", "--json"); !strings.Contains(out, `"phase":"unknown"`) {
		t.Errorf("it is no longer in doubt: %s", out)
	}
	l.refuses(0, "settle", first, "not-made", "--reason", "the cup was half full", "--yes")
	var out struct {
		OK         bool
		Invitation fleet.Invitation
	}
	if text := l.refuses(0, replace...); json.Unmarshal([]byte(text), &out) != nil || !out.OK || out.Invitation.Code == "" {
		t.Fatal(text)
	}

	// The new one is there, and out of service until a person has looked.
	l.comes(out.Invitation.Code, "new", "20")
	l.until("new hardware, not checked: its computer is broken", "machine", "ls")
	l.until(`"here":true`, "machine", "ls", "--json")
	l.refuses(0, append(order, "--id", second)...)
	l.until("barista calibrate at the new zoe", "status")
	if text := l.says("orders", "--json"); !strings.Contains(text, `"phase":"accepted"`) {
		t.Errorf("it took an order:\n%s", text)
	}
	if text := l.refuses(term.ExitRefused, "machine", "uncordon", "zoe"); !strings.Contains(text, "uncordon zoe --checked") {
		t.Error(text)
	}
	l.refuses(0, "machine", "uncordon", "zoe", "--checked")
	l.until(`"phase":"served"`, "orders", "--json")
	if text := l.says("why", first); !strings.Contains(text, "zoe") || !strings.Contains(text, "half full") {
		t.Errorf("the old one's story is lost:\n%s", text)
	}

	// Another one shall come, by the page, and its key is gone at once; then it goes for good.
	l.refuses(0, "machine", "drain", "zoe", "--reason", "sold", "--wait")
	browser, form := enter(t, "http://"+page, l.file("shop.yaml")), url.Values{"machine": {"zoe"}, "reason": {"sold"}}
	if code, text, _ := pressed(t, browser, "http://"+page+"/fleet/replace", form); code != http.StatusOK || !strings.Contains(text, fmt.Sprintf("--shop 127.0.0.1:%d", l.port)) {
		t.Errorf("%d: %s", code, text)
	}
	if text := l.says("key", "list"); strings.Contains(text, "zoe") {
		t.Errorf("it has a key still:\n%s", text)
	}
	l.until("away", "machine", "ls")
	if text := l.says("machine", "ls"); !strings.Contains(text, "new hardware, not checked: sold") || !strings.Contains(text, "ada") {
		t.Errorf("nobody says who, and why:\n%s", text)
	}
	if text := l.refuses(0, "machine", "retire", "zoe", "--reason", "sold"); !strings.Contains(text, "zoe is retired") {
		t.Error(text)
	}
	l.until("no machines", "machine", "ls")
	if text := l.says("key", "list"); strings.Contains(text, "zoe") {
		t.Errorf("it has a key still:\n%s", text)
	}
	l.logged("new", "the broker refuses this key")
	if text := l.says("why", second); !strings.Contains(text, "zoe") {
		t.Errorf("what it made is forgotten:\n%s", text)
	}
	l.refuses(term.ExitNotFound, "machine", "retire", "zoe", "--reason", "sold")
}
