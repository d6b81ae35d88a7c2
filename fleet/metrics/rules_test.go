package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// The files that come with the program, for its reader's own Prometheus and Grafana.
const (
	rulesFile     = "../../configs/prometheus/barista.rules.yml"
	scrapeFile    = "../../configs/prometheus/prometheus.yml"
	rulesTests    = "../../configs/prometheus/barista.rules_test.yml"
	dashboardFile = "../../configs/grafana/barista.json"
)

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// names of every series that the program may tell, with the labels of each.
func tells(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"up": {"job", "instance"}, "barista_build_info": {"version"}, "barista_ready": nil}
	word := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: {([^}]*)}, variableLabels: {([^}]*)}`)
	descs := make(chan *prometheus.Desc, 100)
	NewShop(ShopParts{}).Describe(descs)
	NewStation(StationParts{Machine: "zoe"}).Describe(descs)
	close(descs)
	for d := range descs {
		m := word.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%s: the test is blind", d)
		}
		var labels []string
		for l := range strings.SplitSeq(m[2]+","+m[3], ",") {
			if name, _, _ := strings.Cut(l, "="); name != "" {
				labels = append(labels, name)
			}
		}
		all[m[1]] = labels
		if strings.HasSuffix(m[1], "_seconds") && strings.Contains(d.String(), "fqName") {
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				all[m[1]+end] = append(slices.Clone(labels), "le")
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("%d names: the test is blind", len(all))
	}
	return all
}

// TestNamesExist: what rules and dashboard ask for is what the program tells.
func TestNamesExist(t *testing.T) {
	have := tells(t)
	name := regexp.MustCompile(`\b(barista_[a-z_]+)(\{[^}]*\})?`)
	label := regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	for _, path := range []string{rulesFile, rulesTests, dashboardFile} {
		n := 0
		for _, m := range name.FindAllStringSubmatch(strings.ReplaceAll(text(t, path), `\"`, `"`), -1) {
			n++
			labels, is := have[m[1]]
			if !is {
				t.Errorf("%s asks for %s, which nobody tells", filepath.Base(path), m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels, l[1]) && l[1] != "job" && l[1] != "instance" {
					t.Errorf("%s asks %s for the label %s, which it does not have", filepath.Base(path), m[1], l[1])
				}
			}
		}
		if n < 15 {
			t.Errorf("%s: %d names: the test is blind", path, n)
		}
	}
	// An alert without a test may never come, or always.
	alert := regexp.MustCompile(`alert: (\w+)`)
	for _, m := range alert.FindAllStringSubmatch(text(t, rulesFile), -1) {
		if !regexp.MustCompile(`alertname: ` + m[1] + `\n\s+exp_alerts`).MatchString(text(t, rulesTests)) {
			t.Errorf("no test sees %s come", m[1])
		}
	}
}

// TestRules has promtool read the rules and the sample, and play the tests of the rules.
func TestRules(t *testing.T) {
	promtool(t, "", "check", "rules", rulesFile)
	promtool(t, "", "check", "config", scrapeFile)
	promtool(t, "", "test", "rules", rulesTests)
}

// panel is what the test reads of one.
type panel struct {
	ID         int
	Title      string
	Type       string
	Datasource *source
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		RefID      string `json:"refId"`
		Datasource *source
		Expr       string
	}
}

type source struct{ Type, UID string }

// TestDashboard: it opens in anybody's Grafana. Each panel takes the data source that
// the reader chose, and lies beside the others.
func TestDashboard(t *testing.T) {
	var d struct {
		UID, Title    string
		SchemaVersion int
		Templating    struct {
			List []struct {
				Name, Type string
				Datasource *source
			}
		}
		Panels []panel
	}
	if err := json.Unmarshal([]byte(text(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) < 15 {
		t.Errorf("%+v", d)
	}
	vars := map[string]string{}
	for _, v := range d.Templating.List {
		vars[v.Name] = v.Type
		if v.Type == "query" && (v.Datasource == nil || v.Datasource.UID != "${datasource}") {
			t.Errorf("variable %s has its own data source", v.Name)
		}
	}
	if vars["datasource"] != "datasource" {
		t.Errorf("no variable for the data source: %v", vars)
	}
	used := regexp.MustCompile(`\$(\w+)`)
	ids, field := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: its id is taken", p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s lies outside: %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := field[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies over %s", p.Title, other)
				}
				field[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%s asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			if p.Datasource == nil || p.Datasource.UID != "${datasource}" || q.Datasource == nil || q.Datasource.UID != "${datasource}" || q.Datasource.Type != "prometheus" {
				t.Errorf("%s has its own data source", p.Title)
			}
			for _, v := range used.FindAllStringSubmatch(q.Expr, -1) {
				if vars[v[1]] == "" && v[1] != "__rate_interval" {
					t.Errorf("%s: no variable %s", p.Title, v[1])
				}
			}
		}
	}
}

// TestQueries has promtool read each query of the dashboard, as a rule.
func TestQueries(t *testing.T) {
	var d struct{ Panels []panel }
	if err := json.Unmarshal([]byte(text(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	vars := strings.NewReplacer("$__rate_interval", "1m", "$job", ".*", "$machine", ".*")
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			expr, _ := json.Marshal(vars.Replace(q.Expr))
			rules.WriteString("      - {record: panel:" + strings.Repeat("x", p.ID) + q.RefID + ", expr: " + string(expr) + "}\n")
		}
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "", "check", "rules", path)
}
