package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"barista/configs/kinds"
)

var updateReadme = flag.Bool("update-readme", false, "write the README's tables of keys anew")

// TestReadmeKeys: the README's tables of what a machine's section may hold are those
// by which a file is read.
func TestReadmeKeys(t *testing.T) {
	const begin, end = "<!-- keys: from the tables in configs/kinds; go test ./cmd/barista -run TestReadmeKeys -update-readme -->\n", "<!-- end of keys -->\n"
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("the README has no place for the tables of keys")
	}
	var out strings.Builder
	for _, k := range drivers {
		_, f := k.New()
		fmt.Fprintf(&out, "\n**`driver: %s`**: %s\n\n| Key | What it is | Values |\n|---|---|---|\n", k.Name, k.Title)
		keyRows(&out, "", f.Keys)
		for _, r := range []struct {
			rows *kinds.Rows
			one  string
		}{{f.Outputs, "PART"}, {f.Inputs, "SIGNAL"}, {f.Products, "SIZE"}} {
			if r.rows == nil {
				continue
			}
			seen := map[string]bool{}
			for _, name := range r.rows.Names {
				var fresh []kinds.Key
				for _, key := range r.rows.Keys(name) {
					if !seen[key.Name] {
						seen[key.Name] = true
						fresh = append(fresh, key)
					}
				}
				keyRows(&out, r.rows.Name+"."+r.one+".", fresh)
			}
		}
	}
	out.WriteString("\n")
	if *updateReadme {
		if err := os.WriteFile("../../README.md", []byte(head+begin+out.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != out.String() {
		t.Error("the README's tables of keys are not those of the kinds; -update-readme writes them anew")
	}
}

// keyRows writes the keys that the kind itself reads; the loader's own are the same
// for all.
func keyRows(out *strings.Builder, prefix string, keys []kinds.Key) {
	for _, k := range keys {
		if k.Answer || k.Help == "" || k.Type == "" {
			continue
		}
		must := ""
		if k.Need != "" {
			must = " (must be there)"
		}
		fmt.Fprintf(out, "| `%s%s` | %s%s | %s |\n", prefix, k.Name, cmp.Or(k.Help, k.Ask), must, strings.ReplaceAll(k.Type, "|", "or"))
	}
}
