package fleet

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ignorable are the characters that Unicode has nothing shown for where a program does
// not know them (Default_Ignorable_Code_Point): joiners, direction marks, fillers,
// variation selectors, tags.
var ignorable = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x00ad, 0x00ad, 1}, {0x034f, 0x034f, 1}, {0x061c, 0x061c, 1}, {0x115f, 0x1160, 1}, {0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1},
		{0x200b, 0x200f, 1}, {0x202a, 0x202e, 1}, {0x2060, 0x206f, 1}, {0x3164, 0x3164, 1}, {0xfe00, 0xfe0f, 1}, {0xfeff, 0xfeff, 1},
		{0xffa0, 0xffa0, 1}, {0xfff0, 0xfff8, 1},
	},
	R32:         []unicode.Range32{{0x1bca0, 0x1bca3, 1}, {0x1d173, 0x1d17a, 1}, {0xe0000, 0xe0fff, 1}},
	LatinOffset: 1,
}

// Ignorable reports a character of which nothing is seen by itself.
func Ignorable(r rune) bool { return unicode.Is(ignorable, r) }

// Blank reports white space, and the braille pattern without a dot, which looks like
// it.
func Blank(r rune) bool { return r == '\u2800' || unicode.IsSpace(r) }

const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
	blackFlag = '\U0001f3f4'
	endOfTag  = '\U000e007f'
)

// shown drops what is not seen, but for what makes another picture of what is: a
// joiner between two characters, a selector behind one, the letters of a flag behind
// it.
func shown(s string) string {
	if strings.IndexFunc(s, Ignorable) < 0 {
		return s
	}
	var b strings.Builder
	var last, between rune // written last; a joiner that waits for the next one
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case !Ignorable(r):
			if between != 0 && !Blank(r) {
				b.WriteRune(between)
			}
			b.WriteString(s[:n])
			last, between = r, 0
		case last == 0 || Blank(last) || Ignorable(last) || between != 0:
		case r == joiner, r == nonJoiner:
			between = r
		case unicode.Is(unicode.Variation_Selector, r):
			b.WriteRune(r)
			last = r
		case last == blackFlag && flag(s) > 0:
			n = flag(s)
			b.WriteString(s[:n])
			last = endOfTag
		}
		s = s[n:]
	}
	return b.String()
}

// flag is how many bytes of s are the letters of a flag and their end, as in that of
// Scotland.
func flag(s string) int {
	const most = 7
	n := 0
	for i, r := range s {
		switch n++; {
		case r == endOfTag && n > 1:
			return i + utf8.RuneLen(r)
		case n > most, !(r >= 0xe0030 && r <= 0xe0039 || r >= 0xe0061 && r <= 0xe007a):
			return 0
		}
	}
	return 0
}

// cleanName trims and checks a name. It is shown to other people, called out
// and printed, so it may hold nothing that acts, and something that is seen: no
// control characters, no markup. What is not seen is dropped, direction marks
// too, and does not count.
func cleanName(s string, normal func(string) string) (string, error) {
	if !utf8.ValidString(s) {
		return "", bad("name", "must be UTF-8 text")
	}
	seen := shown(s)
	if normal != nil {
		seen = normal(seen)
	}
	seen = strings.TrimFunc(seen, Blank)
	n := 0
	for _, r := range seen {
		if Ignorable(r) {
			continue
		}
		switch n++; {
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp), r == unicode.ReplacementChar:
			return "", bad("name", "has a control character (%U)", r)
		case r == '<', r == '>':
			return "", bad("name", "must not contain < or >")
		}
	}
	switch {
	case n == 0 && strings.TrimSpace(s) != "":
		return "", bad("name", "has no character that can be seen")
	case n == 0:
		return "", bad("name", "is empty")
	case n > maxName:
		return "", bad("name", "has %d characters, at most %d are taken", n, maxName)
	}
	return seen, nil
}
