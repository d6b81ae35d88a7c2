package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMainIsSmall keeps the attic empty: package main is main, root, thin verbs and
// shop.go, and no function of the tree is longer than a screen can be scrolled.
func TestMainIsSmall(t *testing.T) {
	const mostLines, longestFunction = 3500, 90
	lines, files := 0, 0
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
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Dir(path) == "../../cmd/barista" {
			lines += bytes.Count(text, []byte("\n"))
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, text, 0)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if x, is := decl.(*ast.FuncDecl); is {
				if n := set.Position(x.End()).Line - set.Position(x.Pos()).Line + 1; n > longestFunction {
					t.Errorf("%s: %s has %d lines, at most %d are read at once", path, x.Name.Name, n, longestFunction)
				}
			}
		}
		return nil
	})
	if err != nil || files < 100 || lines < 1000 {
		t.Fatalf("%d files, %d lines of package main, %v: the test is blind", files, lines, err)
	}
	if lines > mostLines {
		t.Errorf("package main has %d lines, at most %d: what is no verb has a room of its own", lines, mostLines)
	}
}
