package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/fleet"
)

// locked is a folder with a shop that has keys and TLS, and with whatever else is started
// there, each as a process of its own.
type locked struct {
	t    *testing.T
	dir  string
	port int
	at   func(*exec.Cmd) *exec.Cmd // where the shop is; nil: here
}

func newLocked(t *testing.T) *locked { return &locked{t: t, dir: searched(t), port: freePort(t)} }

func (l *locked) file(name string) string { return filepath.Join(l.dir, name) }
func (l *locked) server() string          { return fmt.Sprintf("tls://localhost:%d", l.port) }

// write makes the file of a service, with a state of its own.
func (l *locked) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(l.file(name+".yaml"), []byte("state: "+l.file(name)+"\n"+text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// start runs a service; run any program beside it. What they say is in NAME.log.
func (l *locked) start(name string) *exec.Cmd {
	l.t.Helper()
	return l.run(name, asMain("run", "--config", l.file(name+".yaml")))
}

func (l *locked) run(name string, cmd *exec.Cmd) *exec.Cmd {
	l.t.Helper()
	log, err := os.Create(l.file(name + ".log"))
	if err != nil {
		l.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		endProcess(cmd)
		log.Close()
		if l.t.Failed() {
			l.t.Logf("--- %s:\n%s", name, readText(l.t, log.Name()))
		}
	})
	return cmd
}

// says is what a verb of the shop's operator prints.
func (l *locked) says(args ...string) string {
	l.t.Helper()
	cmd := asMain(append(args, "--nats", l.server(), "--key", l.file("shop/keys/operator.key"))...)
	if l.at != nil {
		cmd = l.at(cmd)
	}
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// until asks again until the verb's output has what is waited for.
func (l *locked) until(want string, args ...string) string {
	l.t.Helper()
	return l.eventually(want, func() string { return l.says(args...) }, strings.Join(args, " "))
}

func (l *locked) eventually(want string, text func() string, what string) string {
	l.t.Helper()
	var out string
	for range 120 {
		if out = text(); strings.Contains(out, want) {
			return out
		}
		<-time.After(250 * time.Millisecond)
	}
	l.t.Fatalf("%s: no %q in\n%s", what, want, out)
	return ""
}

// TestJoinByCode is the way of a machine into a shop that is locked, as a person types
// it, with a process for each: invited, enrolled, let in, a drink, revoked. Everything
// goes over TLS.
func TestJoinByCode(t *testing.T) {
	l := newLocked(t)
	dir, port, server := l.dir, l.port, l.server()
	write, start, says, until := l.write, l.start, l.says, l.until
	write("shop", fmt.Sprintf("broker: {listen: \"127.0.0.1:%d\"}\ncontroller: {}\nstock: {initial: {arabica: 2000}}\n", port))
	start("shop")
	until("no machines", "machine", "ls")

	var i fleet.Invitation
	if out := says("machine", "invite", "zoe", "--json"); json.Unmarshal([]byte(out), &i) != nil || i.Code == "" {
		t.Fatal(out)
	}
	enroll := asMain("enroll", i.Code, "--shop", fmt.Sprintf("localhost:%d", port), "--dir", filepath.Join(dir, "pi"))
	var said strings.Builder
	enroll.Stdout, enroll.Stderr = &said, &said
	if err := enroll.Start(); err != nil {
		t.Fatal(err)
	}
	until("zoe waits at the door since ", "key", "list")
	if out := says("key", "list"); !strings.Contains(out, ", from 127.0.0.1 with the key ") {
		t.Error(out)
	}
	if out := says("machine", "accept", "zoe"); !strings.Contains(out, "zoe is let in") {
		t.Error(out)
	}
	if err := enroll.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	again := asMain("enroll", i.Code, "--shop", fmt.Sprintf("localhost:%d", port), "--dir", filepath.Join(dir, "other"))
	if out, _ := again.CombinedOutput(); again.ProcessState.ExitCode() != term.ExitUnauthorised {
		t.Errorf("the code once more: %d\n%s", again.ProcessState.ExitCode(), out)
	}

	write("zoe", fmt.Sprintf("nats: {servers: [%q], key: %s, ca: %s}\nmachine: {name: zoe, driver: mock, cup: attended, speed: 20, serves: {beans: [arabica], milk: [free], sizes: [small]}}\n",
		server, filepath.Join(dir, "pi/zoe.key"), filepath.Join(dir, "pi/shop-ca.pem")))
	zoe := start("zoe")
	until("ready", "machine", "ls")
	if out := says("order", "--size", "small", "--bean", "arabica", "--milk", "free", "--name", "Ada", "--watch"); !strings.Contains(out, "served") {
		t.Errorf("no coffee:\n%s", out)
	}

	// Whoever has no key, or another one, is told so and gets nothing.
	for key, exit := range map[string]int{filepath.Join(dir, "pi/zoe.key"): term.ExitUnauthorised, "": term.ExitFailed} {
		args := []string{"status", "--nats", server}
		if key != "" {
			args = append(args, "--key", key)
		}
		cmd := asMain(args...)
		cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CONFIG_HOME="+dir)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != exit || strings.Contains(string(out), "arabica") {
			t.Errorf("status with the key %q: %d\n%s", key, cmd.ProcessState.ExitCode(), out)
		}
	}

	if out := says("machine", "revoke", "zoe"); !strings.Contains(out, "revoked") {
		t.Error(out)
	}
	cut := func() bool {
		return strings.Contains(readText(t, filepath.Join(dir, "zoe.log")), "the broker refuses this key")
	}
	for range 200 {
		if cut() {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	if !cut() || zoe.ProcessState != nil {
		t.Errorf("ten seconds after its key was taken away zoe has not been refused")
	}
}
