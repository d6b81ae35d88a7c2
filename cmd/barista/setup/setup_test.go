package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"barista/configs"
	"barista/configs/kinds"
)

// TestSetupKeepsWhatItQuotes: any text from outside comes back from the file as
// it was, or is refused before anything is written.
func TestSetupKeepsWhatItQuotes(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[-:#'"\\{}\[\], &*!|>%@a-z0-9.~]{1,20}`),
			rapid.SampledFrom([]string{"true", "No", "null", "~", "1e3", "0x10", ".inf", "1:30", "- a", "a: b", "a #b", "a\nb: c", "a\u2028b", "\u202Ea", "=", "<<", "ß 🍵", "\u00a0", "a\u2800b", ".0", "...", ".e1"}),
		).Draw(t, "text")
		q := question{}
		if q.bad(s) != nil {
			if configs.ParseMap("", []byte("a: "+kinds.YAML(s)+"\n"), func(m *configs.Map) {
				if got, ok := m.Get("a").Text(); ok && got == s {
					t.Fatalf("%q was refused and could be written", s)
				}
			}) == nil && s != "" {
				t.Fatalf("%q was refused, and the loader takes it", s)
			}
			return
		}
		if s == "" {
			return
		}
		err := configs.ParseMap("", []byte("a: {b: "+kinds.YAML(s)+", c: ["+kinds.YAML(s)+"]}\n"), func(m *configs.Map) {
			a := m.Get("a").Map()
			if got, ok := a.Get("b").Text(); !ok || got != s {
				t.Fatalf("%q came back as %q", s, got)
			}
			list, _ := a.Get("c").List(1, 1)
			if got, ok := list[0].Text(); !ok || got != s {
				t.Fatalf("%q came back from a list as %q", s, got)
			}
		})
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// TestSetupWritesAllOrNothing: when the second file can't be put in its place, the
// first is as it was.
func TestSetupWritesAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "shop.yaml"), filepath.Join(dir, "zoe.yaml")
	if err := os.WriteFile(one, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	files := []*output{{path: one, text: "new"}, {path: two, text: "new"}}
	for _, f := range files {
		if err := f.look(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(two, "a folder"), 0o700); err != nil { // came meanwhile
		t.Fatal(err)
	}
	if _, err := writeAll(files); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(one); err != nil || string(b) != "old" {
		t.Errorf("%q, %v", b, err)
	}
	if left := names(t, dir); !slices.Equal(left, []string{"shop.yaml"}) {
		t.Errorf("left behind: %v", left)
	}
}

// TestUnified holds our difference against the one of diff itself: patch makes
// the new text of the old one and it.
func TestUnified(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("no patch here")
	}
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "c: 1", "", "  d"})
		text := func(name string) string {
			var s strings.Builder
			for _, l := range rapid.SliceOfN(line, 0, 40).Draw(t, name) {
				s.WriteString(l + "\n")
			}
			return s.String()
		}
		before, after := text("before"), text("after")
		diff := unified("x", "x", before, after)
		if (diff == "") != (before == after) {
			t.Fatal("no difference, or one where there is none")
		}
		if n++; n > 40 || diff == "" {
			return // a process each
		}
		dir, err := os.MkdirTemp("", "unified")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(patch, "-s", "x")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(diff)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, diff)
		}
		// patch takes a file away that has nothing left in it.
		if got, _ := os.ReadFile(filepath.Join(dir, "x")); string(got) != after {
			t.Fatalf("patched to %q, want %q\n%s", got, after, diff)
		}
	})
}

// names are the files of a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}
