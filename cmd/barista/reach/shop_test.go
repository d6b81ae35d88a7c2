package reach

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"barista/configs"
	"barista/fleet/client"
	"barista/fleet/keys"
)

// TestService: who serves says names, and not where its files, its servers and its keys are.
func TestService(t *testing.T) {
	shop := &configs.File{State: "/srv/secret/corner", Broker: &configs.Broker{Domain: "paris", Listen: "10.0.0.1:4222", Store: "/srv/secret/store"}, Controller: &configs.Controller{}}
	far := &configs.File{State: "/srv/secret/zoe", NATS: &configs.NATS{Servers: []string{"nats://u:hunter2@h"}, Key: "/srv/secret/key"}}
	for _, c := range []struct {
		f         *configs.File
		name      string
		isMachine bool
		want      map[string]string
	}{
		{shop, "controller", false, map[string]string{"role": "controller", "shop": "corner", "site": "paris"}},
		{shop, "zoe", true, map[string]string{"role": "machine", "machine": "zoe", "shop": "corner", "site": "paris"}},
		{far, "zoe", true, map[string]string{"role": "machine", "machine": "zoe"}},
		{far, "stock", false, map[string]string{"role": "stock"}},
	} {
		c.want["program"], c.want["program_version"] = "barista", "v1.2.3"
		if s := Service(c.f, c.name, c.isMachine, "v1.2.3"); s.Version != "v1.2.3" || !maps.Equal(s.Metadata, c.want) {
			t.Errorf("%s: %v", c.name, s)
		}
	}
}

// TestPasswords: a password that others may read is refused at the start, with what to
// type, and so is a file that has none; whose it is is said.
func TestPasswords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "word")
	log := slog.New(slog.DiscardHandler)
	opens := map[string]func() error{
		"the database's password: ": func() error {
			a, err := Archive(&configs.Archive{Postgres: "postgres://barista@127.0.0.1:1/", Password: path}, log)
			if err == nil {
				err = a.Close()
			}
			return err
		},
		"the token: ": func() error {
			_, err := Alerts(&configs.Alerts{Ntfy: "http://127.0.0.1:1/x", Token: path}, "corner", client.Shop{}, log)
			return err
		},
		"the mail server's password: ": func() error {
			_, err := Alerts(&configs.Alerts{Mail: &configs.Mail{Host: "127.0.0.1", Port: 1, From: "a@b", To: []string{"a@b"}, User: "a", Password: path}}, "corner", client.Shop{}, log)
			return err
		},
	}
	for whose, open := range opens {
		if err := open(); err == nil || !strings.HasPrefix(err.Error(), whose+"there is no password at "+path) {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false, 0o644: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for whose, open := range opens {
			err := open()
			lax := errors.Is(err, keys.ErrLax) && strings.HasPrefix(err.Error(), whose+path+" is refused, others may read it") && strings.HasSuffix(err.Error(), ": chmod 600 "+path)
			if fine && err != nil || !fine && !lax {
				t.Errorf("mode %04o: %v", mode, err)
			}
		}
	}
}
