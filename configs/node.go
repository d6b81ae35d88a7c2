package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"barista/fleet"
)

// Node is a value in the file, with its place and the list where its problems
// go. A nil Node stands for a value that is not there: every reader below then
// answers false, so that a default stays.
//
// A reader answers true only with a value that may be used. When it answers
// false the value is missing or its problem has been reported, and the caller
// goes on to the next key.
type Node struct {
	r      *report
	where  string
	key    string
	keyAt  Pos
	n      ast.Node
	opened *Map
}

// Key is the key under which the value stands, empty in a list.
func (n *Node) Key() string {
	if n == nil {
		return ""
	}
	return n.key
}

// Where is the value's full name: "machine.serves.beans[0]".
func (n *Node) Where() string {
	if n == nil {
		return ""
	}
	return n.where
}

// Pos is where to look: the value, or the key of a value that takes many lines
// or none.
func (n *Node) Pos() Pos {
	if n == nil {
		return Pos{}
	}
	switch n.n.(type) {
	case nil, *ast.NullNode, *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.LiteralNode:
		if n.keyAt != (Pos{}) {
			return n.keyAt
		}
	}
	if n.n == nil {
		return Pos{1, 1}
	}
	return posOf(n.n)
}

// Problem reports what is wrong with the value and what to do about it.
func (n *Node) Problem(reason, fix string) {
	if n != nil {
		n.r.add(n.Pos(), n.where, reason, fix)
	}
}

// KeyProblem is Problem with the key as its place.
func (n *Node) KeyProblem(reason, fix string) {
	if n != nil {
		n.r.add(n.keyAt, n.where, reason, fix)
	}
}

// Clean reports whether nothing is wrong with the value so far, nor with
// anything in it. Unknown keys are not seen yet. A value that is not there is
// clean.
func (n *Node) Clean() bool {
	return n == nil || !slices.ContainsFunc(n.r.list, func(p Problem) bool {
		rest, in := strings.CutPrefix(p.Where, n.where)
		return in && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// alias reports whether the value is one of those that are refused wherever
// they stand; there is nothing to add.
func (n *Node) alias() bool {
	_, is := n.n.(*ast.AliasNode)
	return is
}

func (n *Node) empty() bool { return n.n == nil || n.n.Type() == ast.NullType }

// wrong reports a value of the wrong type.
func (n *Node) wrong(want, fix string) {
	if n.alias() {
		return
	}
	if n.empty() {
		n.Problem("is empty", fix)
		return
	}
	n.Problem(fmt.Sprintf("must be %s, not %s", want, n.what()), fix)
}

// what describes the value for a message.
func (n *Node) what() string {
	switch v := n.n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return Quote(v.Value)
	case *ast.LiteralNode:
		return "a text of several lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + clip(v.GetToken().Value)
	}
	return clip(n.n.GetToken().Value)
}

// Text reads a text of one line. Control characters, which quotes could bring
// in, are refused.
func (n *Node) Text() (string, bool) {
	if n == nil {
		return "", false
	}
	switch v := n.n.(type) {
	case *ast.StringNode:
		switch {
		case v.Value == "":
			n.Problem("is an empty text", "give a value or leave the key out")
		case strings.ContainsFunc(v.Value, func(c rune) bool { return unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }):
			n.Problem("has a control character in it: "+Quote(v.Value), "remove it")
		case strings.ContainsFunc(v.Value, Unseen):
			n.Problem("has a blank in it that only looks like a space: "+strconv.QuoteToASCII(v.Value), "write a space, or remove it")
		default:
			return v.Value, true
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		n.wrong("a text", fmt.Sprintf("put it in quotes: %q", clip(v.GetToken().Value)))
	case nil, *ast.NullNode:
		n.wrong("a text", "give a value or leave the key out")
	default:
		n.wrong("a text", "write it in one line")
	}
	return "", false
}

// Number is the value as it is written, if it is a number, for whoever has a
// better word than "put it in quotes".
func (n *Node) Number() (string, bool) {
	if n == nil {
		return "", false
	}
	switch v := n.n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return clip(v.GetToken().Value), true
	}
	return "", false
}

// Token reads a name as it may stand in a subject, a key or a file name.
func (n *Node) Token() (string, bool) {
	s, ok := n.Text()
	if ok && !fleet.IsToken(s) {
		n.Problem(Quote(s)+" can't be a name", "use 1 to 32 of a-z, 0-9 and -")
		return "", false
	}
	return s, ok
}

// Tokens reads a list of at least one and at most max names, each there once.
func (n *Node) Tokens(max int) ([]string, bool) {
	list, ok := n.List(1, max)
	var out []string
	for _, e := range list {
		s, fine := e.Token()
		if fine && slices.Contains(out, s) {
			e.Problem(Quote(s)+" is there twice", "remove one")
			fine = false
		}
		if ok = ok && fine; fine {
			out = append(out, s)
		}
	}
	return out, ok
}

// Choice reads one of the given words.
func (n *Node) Choice(words ...string) (string, bool) {
	if n == nil {
		return "", false
	}
	list := "write " + orList(words)
	v, is := n.n.(*ast.StringNode)
	if !is {
		n.wrong(orList(words), list)
		return "", false
	}
	if slices.Contains(words, v.Value) {
		return v.Value, true
	}
	if near := nearest(v.Value, words); near != "" {
		list = fmt.Sprintf("did you mean %q? (%s)", near, orList(words))
	}
	n.Problem(Quote(v.Value)+" is not known here", list)
	return "", false
}

// Bool reads on or off; true and false are taken too.
func (n *Node) Bool() (bool, bool) {
	if n == nil {
		return false, false
	}
	switch v := n.n.(type) {
	case *ast.BoolNode:
		return v.Value, true
	case *ast.StringNode:
		if v.Value == "on" || v.Value == "off" {
			return v.Value == "on", true
		}
	}
	n.wrong("on or off", "write on or off")
	return false, false
}

// Numbers are written as people write them: YAML also knows octal 017, 0x11,
// 1_000 and .inf, none of which anybody means in a coffee machine.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// comma is such a number, or a time, as half of the world writes it.
var comma = regexp.MustCompile(`^(-?[0-9]+),([0-9]+ ?(?:ns|us|µs|ms|s|m|h)?)$`)

// decimalComma reports a number with a comma in it, and says that it was one.
func (n *Node) decimalComma(s string) bool {
	m := comma.FindStringSubmatch(s)
	if m != nil {
		n.Problem(s+" has a decimal comma", "write a point: "+m[1]+"."+strings.ReplaceAll(m[2], " ", ""))
	}
	return m != nil
}

func (n *Node) number(want string) (string, bool) {
	if n == nil {
		return "", false
	}
	switch v := n.n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if s := v.GetToken().Value; decimal.MatchString(s) {
			return s, true
		}
	case *ast.StringNode:
		if decimal.MatchString(v.Value) {
			switch v.Token.Type {
			case token.SingleQuoteType, token.DoubleQuoteType:
				n.wrong(want, "remove the quotes")
				return "", false
			}
			return v.Value, true // a number too large for the parser
		}
		if n.decimalComma(v.Value) {
			return "", false
		}
	}
	n.wrong(want, "write a plain decimal number")
	return "", false
}

// Int reads a whole number from min to max.
func (n *Node) Int(min, max int) (int, bool) {
	s, ok := n.number("a whole number")
	if !ok {
		return 0, false
	}
	if strings.Contains(s, ".") {
		n.wrong("a whole number", "leave out the fraction")
		return 0, false
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < min || v > max {
		n.Problem(clip(s)+" is not possible", fmt.Sprintf("give a number from %d to %d", min, max))
		return 0, false
	}
	return v, true
}

// Float reads a number from min to max.
func (n *Node) Float(min, max float64) (float64, bool) {
	s, ok := n.number("a number")
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= min && v <= max) {
		n.Problem(clip(s)+" is not possible", fmt.Sprintf("give a number from %v to %v",
			strconv.FormatFloat(min, 'f', -1, 64), strconv.FormatFloat(max, 'f', -1, 64)))
		return 0, false
	}
	return v, true
}

// Duration reads a time with its unit, from min to max: "20s", "500ms", "15m".
func (n *Node) Duration(min, max time.Duration) (time.Duration, bool) {
	if n == nil {
		return 0, false
	}
	switch v := n.n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		if s := clip(v.GetToken().Value); n.Clean() { // else it has a decimal comma
			n.Problem("the time "+s+" has no unit", fmt.Sprintf("write for example %ss, or ms, m, h", s))
		}
		return 0, false
	case *ast.StringNode:
		d, err := time.ParseDuration(v.Value)
		if err != nil && n.decimalComma(v.Value) {
			return 0, false
		}
		if err != nil {
			n.wrong("a time", "write a number with its unit: 500ms, 20s, 15m, 1h")
			return 0, false
		}
		if d < min || d > max {
			n.Problem(clip(v.Value)+" is not possible", fmt.Sprintf("give a time from %s to %s", short(min), short(max)))
			return 0, false
		}
		return d, true
	}
	n.wrong("a time", "write a number with its unit: 500ms, 20s, 15m, 1h")
	return 0, false
}

// short writes a time as a person would: 15m, not 15m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// List reads a list of min to max values. What is too much is still handed
// over, so that its own problems are seen.
func (n *Node) List(min, max int) ([]*Node, bool) {
	if n == nil {
		return nil, false
	}
	seq, is := n.n.(*ast.SequenceNode)
	if !is {
		fix := "write [a, b]"
		if v, text := n.n.(*ast.StringNode); text && fleet.IsToken(v.Value) {
			fix = "write [" + v.Value + "]"
		}
		n.wrong("a list", fix)
		return nil, false
	}
	out := make([]*Node, len(seq.Values))
	for i, v := range seq.Values {
		out[i] = &Node{r: n.r, where: fmt.Sprintf("%s[%d]", n.where, i), n: unwrap(v)}
		if out[i].empty() {
			out[i].keyAt = n.Pos()
		}
	}
	if len(out) < min || len(out) > max {
		has := fmt.Sprintf("has %d entries", len(out))
		switch len(out) {
		case 0:
			has = "is an empty list"
		case 1:
			has = "has only one entry"
		}
		n.Problem(has, "give "+fromTo(min, max))
		return out, false
	}
	return out, true
}

func fromTo(min, max int) string {
	if min == max {
		return fmt.Sprint(min)
	}
	return fmt.Sprintf("%d to %d", min, max)
}

// Map opens a map. It is never nil: of a value that is missing or no map (which
// is reported) it is an empty one. An empty value is an empty map, so that a
// section of which every key has a default can be written as "web:".
func (n *Node) Map() *Map {
	if n == nil {
		return &Map{at: &Node{r: &report{}}}
	}
	if n.opened != nil {
		return n.opened
	}
	m := &Map{at: n, values: map[string]*Node{}}
	n.opened = m
	n.r.maps = append(n.r.maps, m)
	var entries []*ast.MappingValueNode
	switch v := n.n.(type) {
	case *ast.MappingNode:
		entries = v.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{v}
	case nil, *ast.NullNode:
	default:
		n.wrong("a map", "write its keys below it, indented by two spaces")
		m.lenient = true
	}
	for _, e := range entries {
		m.put(e)
	}
	return m
}

// Map is a map of the file. A key that nobody asks for is unknown and reported
// when the whole file has been read.
type Map struct {
	at      *Node
	order   []string
	values  map[string]*Node
	asked   []string
	lenient bool // nobody can say which keys are right
}

func (m *Map) put(e *ast.MappingValueNode) {
	r := m.at.r
	if e == nil || e.Key == nil {
		return
	}
	var keyNode ast.Node = e.Key
	if _, merge := keyNode.(*ast.MergeKeyNode); merge {
		return // refused wherever it stands
	}
	keyNode = unwrap(keyNode)
	if m.fraction(keyNode, e.Value) {
		return
	}
	k, is := keyNode.(*ast.StringNode)
	if !is {
		if s := clip(keyNode.GetToken().Value); keyNode.Type() != ast.MappingKeyType {
			r.add(posOf(keyNode), m.at.where, "the key "+s+" is no word", "remove it, or put it in quotes if it is meant")
		}
		return
	}
	where := keyName(k.Value)
	if m.at.where != "" {
		where = m.at.where + "." + where
	}
	if first, twice := m.values[k.Value]; twice {
		r.add(posOf(k), where, "the key is there twice, first in line "+strconv.Itoa(first.keyAt.Line), "remove one")
		return
	}
	m.values[k.Value] = &Node{r: r, where: where, key: k.Value, keyAt: posOf(k), n: unwrap(e.Value)}
	m.order = append(m.order, k.Value)
}

// fraction reports what a decimal comma makes of {rate: 1,9}: a 1, and a key 9
// without a value.
func (m *Map) fraction(key, value ast.Node) bool {
	if len(m.order) == 0 || value != nil && value.Type() != ast.NullType {
		return false
	}
	last := m.values[m.order[len(m.order)-1]]
	if _, whole := last.n.(*ast.IntegerNode); !whole {
		return false
	}
	whole, rest := last.n.GetToken(), key.GetToken()
	if whole.Position == nil || rest.Position == nil || whole.Position.Line != rest.Position.Line {
		return false
	}
	return last.decimalComma(whole.Value + "," + rest.Value)
}

// keyName is a key as it stands in a Where: as it is if it is a word, else
// quoted.
func keyName(s string) string {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return Quote(s)
		}
	}
	if s == "" || len(s) > 40 {
		return Quote(s)
	}
	return s
}

// unwrap looks through anchors and tags, which are refused elsewhere.
func unwrap(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		default:
			return n
		}
	}
}

// Node is the map itself, for problems that are about the whole of it.
func (m *Map) Node() *Node { return m.at }

// Get asks for a key; nil if it is not there.
func (m *Map) Get(key string) *Node {
	if !slices.Contains(m.asked, key) {
		m.asked = append(m.asked, key)
	}
	return m.values[key]
}

// Need asks for a key that must be there; if it is not, the problem says so and
// the fix says what to write.
func (m *Map) Need(key, fix string) *Node {
	n := m.Get(key)
	if n == nil && m.values != nil && !m.lenient {
		m.at.Problem(key+" is missing", fix)
	}
	return n
}

// All asks for every key there is, in the order of the file: for maps whose
// keys are names.
func (m *Map) All() []*Node {
	var out []*Node
	for _, key := range m.order {
		out = append(out, m.Get(key))
	}
	return out
}

// Lenient says that nobody can tell which keys of this map are right, because
// something that decides it is wrong; unknown keys are not reported.
func (m *Map) Lenient() { m.lenient = true }

// unknown reports the keys that nobody asked for.
func (m *Map) unknown() {
	if m.lenient {
		return
	}
	for _, key := range m.order {
		if slices.Contains(m.asked, key) {
			continue
		}
		var free []string // what is there already was not meant
		for _, k := range m.asked {
			if m.values[k] == nil {
				free = append(free, k)
			}
		}
		fix := "remove it"
		if near := nearest(key, free); near != "" {
			fix = fmt.Sprintf("did you mean %q?", near)
		} else if known := slices.Sorted(slices.Values(m.asked)); len(known) > 0 {
			fix += "; known here: " + strings.Join(known, ", ")
		}
		m.values[key].KeyProblem("unknown key", fix)
	}
}

// Quote shows a text of the file in a message: short, and with nothing in it
// that acts on a terminal.
func Quote(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// clip is Quote without the quotes, for what is plainly a number or a word.
func clip(s string) string {
	q := Quote(s)
	return q[1 : len(q)-1]
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
