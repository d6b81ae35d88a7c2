package jura

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNothingElseCanBeSent is the allow-list, written down a second time. Who
// adds a line to the table has to add it here, and to read what is below.
func TestNothingElseCanBeSent(t *testing.T) {
	if want := []string{"TY:", "IC:", "RT:0000", "FA:04"}; !slices.Equal(wire[:], want) {
		t.Errorf("what can be sent is %q, want %q", wire, want)
	}
	never := map[string]string{
		`^AN:0A`:            "erases the memory",
		`^AN:(03|05|06|0C)`: "test routines",
		`^AN:(20|21)`:       "the workshop's test mode",
		`^AN:`:              "switches on and off, which is for a person at the machine",
		`^WE:`:              "writes into the memory, and nothing guards it",
		`^FN:89`:            "a stream of debug text that only the mains plug ends",
		`^FN:`:              "single motors; the same code is another motor on another model",
		`^FA:0F`:            "hangs a J6",
		`^FA:15`:            "starts a cleaning programme on an F9",
		`^FA:05`:            "coffee or ristretto on machines that give the same answer to TY:",
		`^FA:09`:            "turns the page on an E6, or makes coffee: the sources contradict each other",
		`^(DA|DT|DR|GB):`:   "display and power",
		`[^A-Z0-9:]`:        "no text from outside is ever part of a command",
	}
	for pattern, why := range never {
		re := regexp.MustCompile(pattern)
		for _, text := range wire {
			if re.MatchString(text) {
				t.Errorf("%s can be sent: %s", text, why)
			}
		}
	}
}

// TestOneDoorToTheWire: bytes leave this package in one place, which takes a
// command and nothing else.
func TestOneDoorToTheWire(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var doors, makers []string
	fset := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, is := d.(*ast.FuncDecl)
			if !is {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				call, is := n.(*ast.CallExpr)
				if !is {
					return true
				}
				switch f := call.Fun.(type) {
				case *ast.SelectorExpr:
					if f.Sel.Name == "Write" || f.Sel.Name == "WriteString" {
						doors = append(doors, fn.Name.Name)
					}
				case *ast.Ident:
					if f.Name == "command" || f.Name == "wire" {
						makers = append(makers, fn.Name.Name)
					}
				}
				return true
			})
		}
	}
	if !slices.Equal(doors, []string{"say"}) {
		t.Errorf("bytes are written in %q, want only in say", doors)
	}
	if len(makers) > 0 {
		t.Errorf("a command is made out of a number in %q", makers)
	}
}
