package configs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestAlerts: where a person is called, and when not.
func TestAlerts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.yaml")
	for text, want := range map[string]Alerts{
		`{ntfy: "https://ntfy.sh/x"}`: {Ntfy: "https://ntfy.sh/x", After: time.Minute},
		`{webhook: "http://10.0.0.1/h?key=1", ntfy: "https://ntfy.sh/x", token: /etc/t, after: 5m, quiet: "22:00-06:30"}`: {
			Webhook: "http://10.0.0.1/h?key=1", Ntfy: "https://ntfy.sh/x", Token: "/etc/t", After: 5 * time.Minute, Quiet: Quiet{22 * time.Hour, 6*time.Hour + 30*time.Minute}},
		`{mail: {host: smtp.example.org, from: barista@example.org, to: [lea@example.org, max@example.org], user: barista, password: /etc/barista/mail.password}}`: {
			After: time.Minute, Mail: &Mail{Host: "smtp.example.org", Port: 587, From: "barista@example.org", To: []string{"lea@example.org", "max@example.org"}, User: "barista", Password: "/etc/barista/mail.password"}},
		`{mail: {host: "::1", port: 25, from: barista@corner, to: [lea@corner]}}`: {
			After: time.Minute, Mail: &Mail{Host: "::1", Port: 25, From: "barista@corner", To: []string{"lea@corner"}}},
	} {
		if err := os.WriteFile(file, []byte("broker: {keys: none}\nalerts: "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, *f.Alerts, cmpopts.IgnoreTypes(Pos{})); diff != "" || len(f.Roles()) != 2 {
			t.Errorf("%s: %s, %v", text, diff, f.Roles())
		}
	}
}
