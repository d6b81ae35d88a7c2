package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestContainer builds the image as its reader would, and runs what is in it.
func TestContainer(t *testing.T) {
	if _, err := exec.LookPath("buildah"); err != nil || os.Getuid() != 0 || testing.Short() {
		t.Skip("an image is built where buildah is installed, by root, and not with -short")
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = "../.."
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("make", "container")
	id := run("buildah", "from", "localhost/barista")
	defer run("buildah", "rm", id)
	root := run("buildah", "mount", id)
	defer run("buildah", "umount", id)
	if there := run("find", root, "-type", "f"); there != root+"/usr/bin/barista" {
		t.Errorf("more than the program is in it:\n%s", there)
	}
	if got := run("buildah", "run", "--isolation", "chroot", id, "--", "/usr/bin/barista", "version"); !strings.HasPrefix(got, "barista ") {
		t.Errorf("version says %q", got)
	}
}

// TestCompose: what the compose file starts is a verb with flags that it knows.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../../configs/container/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image   string
			Command []string
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) == 0 {
		t.Fatal("no services")
	}
	for name, s := range file.Services {
		cmd, rest, err := newRoot().Find(s.Command)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil || cmd.Name() != s.Command[0] || s.Image != "barista" {
			t.Errorf("%s: %q of image %s: %v", name, s.Command, s.Image, err)
		}
	}
}
