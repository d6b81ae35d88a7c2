package configs

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAlerts: where a person is called, and when not.
func TestAlerts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.yaml")
	for text, want := range map[string]Alerts{
		`{ntfy: "https://ntfy.sh/x"}`: {Ntfy: "https://ntfy.sh/x", After: time.Minute},
		`{webhook: "http://10.0.0.1/h?key=1", ntfy: "https://ntfy.sh/x", token: /etc/t, after: 5m, quiet: "22:00-06:30"}`: {
			Webhook: "http://10.0.0.1/h?key=1", Ntfy: "https://ntfy.sh/x", Token: "/etc/t", After: 5 * time.Minute, Quiet: Quiet{22 * time.Hour, 6*time.Hour + 30*time.Minute}},
	} {
		if err := os.WriteFile(file, []byte("broker: {keys: none}\nalerts: "+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		want.Pos = f.Alerts.Pos
		if *f.Alerts != want || len(f.Roles()) != 2 {
			t.Errorf("%s: %+v, %v", text, *f.Alerts, f.Roles())
		}
	}
}
