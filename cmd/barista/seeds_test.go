package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/fleet/keys"
)

// known are the children that tests start, and the secrets of the folders that were
// searched. What a child was told and what it says must hold none of them.
var known struct {
	sync.Mutex
	children []*exec.Cmd
	secrets  map[string]string // by file
}

// watched is a child whose output, arguments and environment are searched.
func watched(cmd *exec.Cmd) *exec.Cmd {
	known.Lock()
	defer known.Unlock()
	known.children = append(known.children, cmd)
	return cmd
}

// searched is a folder of a test in which nothing but the files of keys may hold a
// secret, once the test is over: no log, no store, no configuration.
func searched(t *testing.T) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		for _, where := range leaks(dir) {
			t.Errorf("a secret is in %s", where)
		}
	})
	return dir
}

// aSeed is a line of a key's file; the seed is alone in it.
var aSeed = regexp.MustCompile(`(?m)^\s*(S[UAO][A-Z2-7]{56})\s*$`)

// secretsOf are those of a file with a key: the middle of the seed, so that a part of it is
// found too, or the second line of a certificate's key, which is no other key's.
func secretsOf(path string, text []byte) (out []string) {
	if ext := filepath.Ext(path); ext != ".key" && filepath.Base(path) != "seed.txt" {
		return nil
	}
	for _, m := range aSeed.FindAllSubmatch(text, -1) {
		out = append(out, string(m[1][10:40]))
	}
	if lines := strings.Split(string(text), "\n"); len(lines) > 3 && strings.Contains(lines[0], "PRIVATE KEY") {
		out = append(out, lines[2])
	}
	return out
}

// leaks searches a folder, and says where there is a secret.
func leaks(dir string) (where []string) {
	files := map[string][]byte{}
	known.Lock()
	defer known.Unlock()
	if known.secrets == nil {
		known.secrets = map[string]string{}
	}
	found := 0
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		text, _ := os.ReadFile(path)
		secrets := secretsOf(path, text)
		for _, s := range secrets {
			known.secrets[s] = path
			found++
		}
		if secrets == nil {
			files[path] = text
		}
		return nil
	})
	if found == 0 {
		return nil
	}
	for path, text := range files {
		for s, of := range known.secrets {
			if bytes.Contains(text, []byte(s)) {
				where = append(where, fmt.Sprintf("%s: that of %s", path, of))
			}
		}
	}
	return where
}

// heard is where children were told a secret, or have said one into memory. The lock is
// held, and none of them runs.
func heard(children []*exec.Cmd) (where []string) {
	for _, cmd := range children {
		texts := map[string]string{"the arguments": strings.Join(cmd.Args, " "), "the environment": strings.Join(cmd.Env, " ")}
		for name, w := range map[string]any{"the output": cmd.Stdout, "the errors": cmd.Stderr} {
			if s, is := w.(fmt.Stringer); is && cmd.ProcessState != nil {
				texts[name] = s.String()
			}
		}
		for name, text := range texts {
			for s, of := range known.secrets {
				if strings.Contains(text, s) {
					where = append(where, fmt.Sprintf("%s of %.100s: that of %s", name, cmd.Path, of))
				}
			}
		}
	}
	slices.Sort(where)
	return slices.Compact(where)
}

// leftovers is heard at the end of all tests: by then every folder was searched, and its
// secrets are known.
func leftovers() []string {
	known.Lock()
	defer known.Unlock()
	return heard(known.children)
}

// TestSearchIsNotBlind plants secrets, and sees each one found.
func TestSearchIsNotBlind(t *testing.T) {
	dir := t.TempDir()
	ca, err := keys.OpenCA(dir, "a shop", time.Now())
	k, err2 := keys.New("operator", "ada")
	if err != nil || err2 != nil || k.Save(filepath.Join(dir, "ada.key")) != nil || ca == nil {
		t.Fatal(err, err2)
	}
	if w := leaks(dir); len(w) != 0 {
		t.Fatalf("nothing is planted: %v", w)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ada.key"))
	if err != nil {
		t.Fatal(err)
	}
	seed := string(aSeed.FindSubmatch(text)[1])
	pem, err := os.ReadFile(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	var children []*exec.Cmd
	var said bytes.Buffer
	said.WriteString("it said " + seed)
	for what, plant := range map[string]func(){
		"log":         func() { _ = os.WriteFile(filepath.Join(dir, "shop.log"), []byte("msg=x key="+seed[:45]+"\n"), 0o600) },
		"copy":        func() { _ = os.WriteFile(filepath.Join(dir, "dump.txt"), pem, 0o600) },
		"arguments":   func() { children = append(children, &exec.Cmd{Args: []string{"barista", "--key", seed}}) },
		"environment": func() { children = append(children, &exec.Cmd{Env: []string{"BARISTA_KEY=" + seed}}) },
		"output":      func() { children = append(children, &exec.Cmd{Stdout: &said, ProcessState: &os.ProcessState{}}) },
	} {
		plant()
		w := leaks(dir)
		known.Lock()
		w = append(w, heard(children)...)
		known.Unlock()
		if len(w) != 1 {
			t.Errorf("%s: found %d", what, len(w))
		}
		children = nil
		os.Remove(filepath.Join(dir, "shop.log"))
		os.Remove(filepath.Join(dir, "dump.txt"))
	}
}

// TestSecretsStay: a shop with keys says all that it can, its verbs too, and ends with a
// dump; who gives a seed where its file is wanted does not read it again.
func TestSecretsStay(t *testing.T) {
	l := newLocked(t)
	l.write("shop", fmt.Sprintf("broker: {listen: \"127.0.0.1:%d\", machines: [zoe]}\ncontroller: {}\nstock: {initial: {arabica: 100}}\nweb: {listen: \"127.0.0.1:%d\"}\n", l.port, freePort(t)))
	shop := asMain("run", "--config", l.file("shop.yaml"))
	shop.Env = append(shop.Env, "BARISTA_DEBUG=1")
	l.run("shop", shop)
	l.until("arabica", "stock", "show")
	for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"key", "list", "--json"}, {"status", "--json"}, {"key", "show", l.file("shop/keys/admin.key")}, {"check", l.file("shop.yaml")}} {
		if out := l.says(args...); out == "" || strings.HasPrefix(out, "barista: ") || strings.HasPrefix(out, `{"error"`) {
			t.Errorf("%v says %q", args, out)
		}
	}
	_ = shop.Process.Signal(syscall.SIGQUIT)
	_ = shop.Wait()
	if log := readText(t, l.file("shop.log")); !strings.Contains(log, "goroutine ") {
		t.Errorf("no dump:\n%s", log)
	}
	text := readText(t, l.file("shop/keys/operator.key"))
	seed := string(aSeed.FindStringSubmatch(text)[1])
	// These were told it, so they are not watched.
	code, out, errOut := baristaHere(t.Context(), strings.NewReader(""), "status", "--key", seed)
	if code != term.ExitUnauthorised || strings.Contains(out+errOut, seed[:20]) {
		t.Errorf("a seed in place of a file: exit %d, says %v", code, strings.Contains(out+errOut, seed[:20]))
	}
	l.write("bad", fmt.Sprintf("nats: {servers: [\"tls://a\"], key: %s}\nmachine: {}\n", seed))
	code, out, errOut = baristaHere(t.Context(), strings.NewReader(""), "check", l.file("bad.yaml"))
	if code == 0 || strings.Contains(out+errOut, seed[:20]) || !strings.Contains(out+errOut, "is a secret itself") {
		t.Errorf("a seed in a service's file: exit %d\n%s", code, strings.ReplaceAll(out+errOut, seed, "SEED"))
	}
	os.Remove(l.file("bad.yaml"))
}
