package configs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"barista/fleet"
)

// A file is written by a person for one machine or one shop; the samples have
// about 60 lines. The limits keep the parser, whose time grows with the square
// of lines and nesting, below a quarter of a second even for a file made to be slow.
const (
	maxBytes   = 64 << 10
	maxLines   = 2000
	maxLine    = 1000 // characters
	maxNesting = 32   // of [ and {
)

// parse turns the text into the tree of its one document; nil for a file
// without content, and nil where r says why not.
func parse(r *report, text []byte) ast.Node {
	clean := check(r, text)
	broken := len(r.list) > 0
	if clean == nil {
		return nil
	}
	file, err := parseYAML(clean)
	if err != nil {
		if broken { // very likely the same thing seen twice
			return nil
		}
		var at Pos
		reason := err.Error()
		var ye yaml.Error
		if errors.As(err, &ye) {
			reason = ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				at = Pos{t.Position.Line, t.Position.Column}
			}
		}
		r.add(at, "", "this is not YAML: "+oneLine(reason), "look at the indentation, the colons, brackets and quotes of this line and the one before")
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case doc.Body.Type() == ast.DirectiveType:
			r.add(posOf(doc.Body), "", "a % directive", "remove the line")
		case body == nil:
			body = doc.Body
		default:
			at := posOf(doc.Body)
			if doc.Start != nil {
				at = Pos{doc.Start.Position.Line, doc.Start.Position.Column}
			}
			r.add(at, "", "a second document begins", "keep one service per file: move what follows to a file of its own")
		}
	}
	plain(r, body)
	return body
}

// parseYAML keeps a panic of the parser from becoming ours: it has had some,
// and a file that can't be read is no reason for a service to die without a
// word.
func parseYAML(text []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, fmt.Errorf("the reader gave up (%v)", p)
		}
	}()
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // twice is our own message
}

// check looks at the bytes and returns them in a form that the parser can read
// on with, so that what else is wrong is found too; nil where there is no point.
func check(r *report, text []byte) []byte {
	if len(text) > maxBytes {
		r.add(Pos{1, 1}, "", fmt.Sprintf("the file is larger than %d KiB", maxBytes>>10), "keep one service per file")
		return nil
	}
	if bytes.IndexByte(text, 0) >= 0 && !utf8.Valid(text) || bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		r.add(Pos{1, 1}, "", "this is no UTF-8 text", "save the file as UTF-8")
		return nil
	}
	if rest, bom := bytes.CutPrefix(text, []byte("\uFEFF")); bom {
		r.add(Pos{1, 1}, "", "the file begins with a byte order mark", "save it as UTF-8 without BOM")
		text = rest
	}
	lines := strings.Split(string(text), "\n")
	if bytes.Count(text, []byte("\n")) > maxLines {
		r.add(Pos{maxLines + 1, 1}, "", fmt.Sprintf("the file has more than %d lines", maxLines), "keep one service per file")
		return nil
	}
	fatal, carriage, nesting := false, false, 0
	for i, line := range lines {
		at := func(column int) Pos { return Pos{i + 1, column} }
		if s, cr := strings.CutSuffix(line, "\r"); cr {
			line = s
			if !carriage { // once is enough: they come in every line
				r.add(at(utf8.RuneCountInString(line)+1), "", "the line ends with a carriage return", "save the file with Unix line ends (LF alone)")
			}
			carriage = true
		}
		if n := utf8.RuneCountInString(line); n > maxLine {
			r.add(at(maxLine+1), "", fmt.Sprintf("the line has %d characters, at most %d are read", n, maxLine), "write the list or map over several lines")
			fatal = true
		}
		lines[i] = tidy(r, line, at)
		code, _, _ := strings.Cut(lines[i], " #")
		if strings.HasPrefix(strings.TrimSpace(code), "#") {
			continue
		}
		for _, c := range code {
			switch c {
			case '[', '{':
				nesting++
			case ']', '}':
				nesting--
			}
			if nesting > maxNesting && !fatal {
				r.add(at(1), "", fmt.Sprintf("brackets are nested deeper than %d", maxNesting), "close them")
				fatal = true
			}
		}
	}
	if fatal {
		return nil
	}
	return []byte(strings.Join(lines, "\n"))
}

// Unseen reports a character of which nothing is seen, or which looks like a space
// and is none: two values that look the same must be the same, so none may hold it.
func Unseen(c rune) bool {
	return c != ' ' && (unicode.In(c, unicode.Cc, unicode.Cf, unicode.Z) || fleet.Ignorable(c) || fleet.Blank(c))
}

// comment watches a line for where its comment begins.
type comment struct {
	quote, last rune
	begun       bool
}

func (k *comment) sees(c rune) {
	switch {
	case k.quote != 0:
		if c == k.quote && (c == '\'' || k.last != '\\') {
			k.quote = 0
		}
	case c == '#' && (k.last == 0 || k.last == ' ' || k.last == '\t'):
		k.begun = true
	case (c == '"' || c == '\'') && strings.ContainsRune("\x00 \t[{,:-", k.last):
		k.quote = c
	}
	k.last = c
}

// tidy reports the characters of a line that do not belong into a file, at most
// one problem per line, and returns the line without them: a blank for a tab and for
// what looks like one, nothing for the others. A comment may be set in any type.
func tidy(r *report, line string, at func(column int) Pos) string {
	said, column := false, 0
	say := func(reason, fix string) {
		if !said {
			r.add(at(column), "", reason, fix)
		}
		said = true
	}
	var b strings.Builder
	var k comment
	for len(line) > 0 {
		c, n := utf8.DecodeRuneInString(line)
		raw := line[:n]
		line, column = line[n:], column+1
		if !k.begun {
			k.sees(c)
		}
		switch {
		case c == utf8.RuneError && n == 1:
			say(fmt.Sprintf("the byte 0x%02X is no UTF-8 text", raw[0]), "save the file as UTF-8")
		case c == '\t':
			say("there is a tab", "use spaces: tabs are as wide as the editor likes")
			b.WriteByte(' ')
		case unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			say(fmt.Sprintf("there is an invisible character (%U)", c), "remove it")
		case k.begun || !Unseen(c):
			b.WriteRune(c)
		case fleet.Blank(c):
			say(fmt.Sprintf("there is a blank that only looks like a space (%U)", c), "type a space there, or remove it: a text from elsewhere brought it along")
			b.WriteByte(' ')
		default:
			say(fmt.Sprintf("there is an invisible character (%U)", c), "remove it")
		}
	}
	return b.String()
}

// plain reports everything of YAML that lets a file say something else than it
// shows.
func plain(r *report, n ast.Node) {
	switch n := n.(type) {
	case nil:
	case *ast.AnchorNode:
		r.add(posOf(n), "", "anchors (&) are not used here", "write the value where it is needed")
		plain(r, n.Value)
	case *ast.AliasNode:
		r.add(posOf(n), "", "aliases (*) are not used here", "write the value itself; a text that begins with * needs quotes")
	case *ast.TagNode:
		r.add(posOf(n), "", "tags (!) are not used here", "remove it; a text that begins with ! needs quotes")
		plain(r, n.Value)
	case *ast.MappingNode:
		for _, e := range n.Values {
			plain(r, e)
		}
	case *ast.MappingValueNode:
		switch k := n.Key.(type) {
		case *ast.MergeKeyNode:
			r.add(posOf(k), "", "merges (<<) are not used here", "write the keys where they are needed")
		case ast.Node:
			plain(r, k)
		}
		plain(r, n.Value)
	case *ast.MappingKeyNode:
		r.add(posOf(n), "", "keys with ? are not used here", "write key: value")
	case *ast.SequenceNode:
		for _, e := range n.Values {
			plain(r, e)
		}
	}
}

func posOf(n ast.Node) Pos {
	if n == nil {
		return Pos{}
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return Pos{}
	}
	return Pos{t.Position.Line, t.Position.Column}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
