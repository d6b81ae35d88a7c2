package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestKindIsAFolder: a kind is its folder under driver, its folder under
// configs/kinds, and a line in drivers.go. Nobody else imports either, and nobody
// else knows it by name.
func TestKindIsAFolder(t *testing.T) {
	var names []string
	for _, k := range drivers {
		names = append(names, k.Name)
		for _, dir := range []string{"../../driver/" + k.Name, "../../configs/kinds/" + k.Name} {
			if st, err := os.Stat(dir); err != nil || !st.IsDir() {
				t.Errorf("%s has no folder %s", k.Name, dir)
			}
		}
	}
	all := packages(t)
	for path, p := range all {
		if !under(path, "barista") {
			continue
		}
		for _, i := range p.Imports {
			for _, name := range names {
				switch {
				case under(i, "barista/driver/"+name) && !under(path, "barista/driver/"+name, "barista/configs/kinds/"+name):
					t.Errorf("%s imports %s: only configs/kinds/%s knows that driver", path, i, name)
				case under(i, "barista/configs/kinds/"+name) && path != "barista/cmd/barista" && !under(path, "barista/configs/kinds/"+name):
					t.Errorf("%s imports %s: only cmd/barista/drivers.go knows the kinds", path, i)
				}
			}
		}
	}
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		rel, _ := filepath.Rel("../..", path)
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			what, _ := strconv.Unquote(i.Path.Value)
			if rel != "cmd/barista/drivers.go" && strings.HasPrefix(rel, "cmd/barista/") {
				for _, name := range names {
					if under(what, "barista/configs/kinds/"+name) {
						t.Errorf("%s imports %s: that is for drivers.go alone", rel, what)
					}
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			lit, is := n.(*ast.BasicLit)
			if !is || lit.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(lit.Value)
			metal := text == "mock" && under(rel, "driver/plant") // its arithmetic has a serial number
			if slices.Contains(names, text) && !metal && !under(rel, "driver/"+text, "configs/kinds/"+text) {
				t.Errorf("%s knows the kind %q by name: what is to be said of a kind stands in its folder", rel, text)
			}
			return true
		})
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v: the test is blind", files, err)
	}
}
