package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/service"
	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/machine/station"
)

// unitKeys reads the service's unit: every key with its values, in order.
func unitKeys(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../systemd/barista@.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("not a setting: %s", line)
		}
		keys[key] = append(keys[key], value)
	}
	return keys
}

func unitKey(t *testing.T, keys map[string][]string, key string) string {
	t.Helper()
	if len(keys[key]) != 1 {
		t.Fatalf("%s stands there %d times", key, len(keys[key]))
	}
	return keys[key][0]
}

func unitTime(t *testing.T, keys map[string][]string, key string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.Replace(unitKey(t, keys, key), "min", "m", 1))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return d
}

// TestUnit holds the unit against the program: the verbs that it calls, the exit
// codes that it knows, and the times that were promised.
func TestUnit(t *testing.T) {
	u := unitKeys(t)
	for key, verb := range map[string]string{"ExecStart": "run", "ExecStopPost": "safe-off"} {
		args := strings.Fields(unitKey(t, u, key))
		if args[0] != "/usr/bin/barista" || !slices.Equal(args[2:], []string{"--config", "/etc/barista/%i.yaml"}) {
			t.Errorf("%s calls %v", key, args)
		}
		cmd, rest, err := newRoot().Find(args[1:])
		if err != nil || cmd.Name() != verb {
			t.Fatalf("%s calls %v, which is %q: %v", key, args, cmd.Name(), err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	want := []string{strconv.Itoa(term.ExitRefused), strconv.Itoa(term.ExitConfig)}
	if got := strings.Fields(unitKey(t, u, "RestartPreventExitStatus")); !slices.Equal(got, want) {
		t.Errorf("not restarted after %v, want %v", got, want)
	}
	if unitKey(t, u, "Restart") != "always" || unitKey(t, u, "StartLimitIntervalSec") != "0" {
		t.Error("a machine that can't be reached is not tried for ever")
	}

	// From the stop of a process to the call of safe-off, with what is left of
	// 6 s for it.
	watchdog, abort, stop := unitTime(t, u, "WatchdogSec"), unitTime(t, u, "TimeoutAbortSec"), unitTime(t, u, "TimeoutStopSec")
	if left := 6*time.Second - watchdog - abort; left < time.Second {
		t.Errorf("a process that hangs leaves %v for safe-off", left)
	}
	if stop+abort > 5*time.Second {
		t.Errorf("a process that hangs in its stop is killed after %v", stop)
	}
	if stop < station.RestTime+500*time.Millisecond {
		t.Errorf("the stop-post has %v, safe-off may take %v", stop, station.RestTime)
	}
	// The loops extend the stop; a drink that takes long is no reason to cut it.
	if 2*service.PingPace+time.Second >= stop || service.StopStep > stop || service.StopStep <= service.PingPace+time.Second {
		t.Errorf("a stop of %v is extended by %v every %v to %v", stop, service.StopStep, service.PingPace, service.PingPace+time.Second)
	}
	if fleet.LongestBrew < stop {
		t.Error("TimeoutStopSec is longer than any drink: then the extension is for nothing")
	}
	if 2*(service.PingPace+time.Second) >= watchdog {
		t.Errorf("a machine at rest gives a sign every %v at worst, the watchdog waits %v", service.PingPace+time.Second, watchdog)
	}
}

// The program's state, configuration and the unit's are one and the same.
func TestUnitPaths(t *testing.T) {
	u := unitKeys(t)
	if unitKey(t, u, "StateDirectory") != "barista/%i" {
		t.Error("the state is not below /var/lib/barista, where a file without state: has it")
	}
	cred := strings.TrimPrefix(unitKey(t, u, "LoadCredential"), "barista:")
	tmp, err := os.ReadFile("../../systemd/tmpfiles.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(tmp), "d "+cred+" 0700 root") {
		t.Errorf("nothing makes %s, and without it no instance starts", cred)
	}
	users, err := os.ReadFile("../../systemd/sysusers.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range strings.Fields(unitKey(t, u, "SupplementaryGroups")) {
		if !strings.Contains(string(users), "m "+unitKey(t, u, "User")+" "+g+"\n") {
			t.Errorf("nothing makes the group %s, and without it no instance starts", g)
		}
	}
	pack, err := os.ReadFile("../../systemd/nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`src: ([^,"]+),`).FindAllStringSubmatch(string(pack), -1) {
		if strings.HasPrefix(m[1], "dist/") { // made by make deb, which fails without it
			continue
		}
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the package wants what is not there: %v", err)
		}
	}
}

// TestUnitSandbox asks systemd itself, where there is one.
func TestUnitSandbox(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze here")
	}
	dir := t.TempDir()
	b, err := os.ReadFile("../../systemd/barista@.service")
	if err != nil {
		t.Fatal(err)
	}
	// verify wants programs that are there.
	text := strings.ReplaceAll(string(b), "/usr/bin/barista", "/bin/true")
	path := filepath.Join(dir, "barista@.service")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// A threshold of 15 is an exposure of 1.5.
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", path).CombinedOutput()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "Overall exposure level") {
		t.Skipf("systemd-analyze security does not work here: %s", out)
	}
	if err != nil {
		t.Errorf("the sandbox has more holes than 1.5:\n%s", out)
	}
	t.Log(lastLine(string(out)))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}

// TestMaintainerScripts reads them as dash would.
func TestMaintainerScripts(t *testing.T) {
	for _, name := range []string{"postinst", "prerm", "postrm"} {
		cmd := exec.Command("sh", "-n", "../../systemd/"+name)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
