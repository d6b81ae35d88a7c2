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
	"barista/fleet/door"
)

// TestJoinByCode is the way of a machine into a shop that is locked, as a person types
// it, with a process for each: invited, enrolled, let in, a drink, revoked. Everything
// goes over TLS.
func TestJoinByCode(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("state: "+filepath.Join(dir, name)+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("shop", fmt.Sprintf("broker: {listen: \"127.0.0.1:%d\"}\ncontroller: {}\nstock: {initial: {arabica: 2000}}\n", port))
	start := func(name string) *exec.Cmd {
		cmd := asMain("run", "--config", filepath.Join(dir, name+".yaml"))
		log, err := os.Create(filepath.Join(dir, name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			endProcess(cmd)
			log.Close()
			if t.Failed() {
				t.Logf("--- %s:\n%s", name, readText(t, log.Name()))
			}
		})
		return cmd
	}
	server := fmt.Sprintf("tls://localhost:%d", port)
	says := func(args ...string) string {
		t.Helper()
		out, _ := asMain(append(args, "--nats", server, "--key", filepath.Join(dir, "shop/keys/operator.key"))...).CombinedOutput()
		return string(out)
	}
	// until asks again until the verb's output has what is waited for.
	until := func(want string, args ...string) string {
		t.Helper()
		var out string
		for range 120 {
			if out = says(args...); strings.Contains(out, want) {
				return out
			}
			<-time.After(250 * time.Millisecond)
		}
		t.Fatalf("barista %s: no %q in\n%s", strings.Join(args, " "), want, out)
		return ""
	}
	start("shop")
	until("no machines", "machine", "ls")

	var i door.Invitation
	if out := says("machine", "invite", "zoe", "--json"); json.Unmarshal([]byte(out), &i) != nil || i.Code == "" {
		t.Fatal(out)
	}
	enroll := asMain("enroll", i.Code, "--shop", fmt.Sprintf("localhost:%d", port), "--dir", filepath.Join(dir, "pi"))
	var said strings.Builder
	enroll.Stdout, enroll.Stderr = &said, &said
	if err := enroll.Start(); err != nil {
		t.Fatal(err)
	}
	until("zoe waits at the door", "key", "list")
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
