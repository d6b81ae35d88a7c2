package jura

// Filler is what the bits are that carry nothing. Both are in the field; a
// machine takes either, and whoever reads must look at the other bits only.
type Filler byte

// The fillers. LowFiller is what machines send.
const (
	LowFiller  Filler = 0x5B
	HighFiller Filler = 0xDB
)

// group is how many bytes on the wire make one character.
const group = 4

// AppendByte appends a character as it goes over the wire: four bytes, two bits
// in each, the lowest pair first. Of a pair the lower bit is bit 2 of its byte,
// the upper one bit 5.
func AppendByte(to []byte, c byte, f Filler) []byte {
	for pair := range group {
		two := c >> (2 * pair)
		to = append(to, byte(f)|two&1<<2|two>>1&1<<5)
	}
	return to
}

// Byte is the character in four bytes from the wire, whatever their filler.
func Byte(raw [group]byte) byte {
	var c byte
	for pair, b := range raw {
		c |= (b>>2&1 | b>>5&1<<1) << (2 * pair)
	}
	return c
}

// AppendLine appends a line of text with its end, as it goes over the wire.
func AppendLine(to []byte, text string, f Filler) []byte {
	for _, c := range []byte(text + ends) {
		to = AppendByte(to, c, f)
	}
	return to
}

// ends is what ends a line, both ways.
const ends = "\r\n"

// longest is the longest line that is worth reading; an rt: answer has 67
// characters before its end.
const longest = 128

// Lines puts characters and lines together from what comes over the wire. It
// gives out only lines of printable ASCII with a proper end: noise is the normal
// case. The zero value is ready.
type Lines struct {
	raw  [group]byte
	n    int // bytes in raw
	text []byte
	bad  bool // this line is damaged, or too long: wait for its end
}

// Feed takes one byte. When it completes a line, it returns the line without its
// end.
func (l *Lines) Feed(b byte) (line string, whole bool) {
	l.raw[l.n] = b
	if l.n++; l.n < group {
		return "", false
	}
	l.n = 0
	c := Byte(l.raw)
	n := len(l.text)
	afterCR := n > 0 && l.text[n-1] == '\r'
	switch {
	case c == '\n':
		whole = afterCR && !l.bad
		if whole {
			line = string(l.text[:n-1])
		}
		l.text, l.bad = l.text[:0], false
		return line, whole
	case afterCR, c != '\r' && (c < ' ' || c > '~'), n >= longest:
		l.bad = true
	}
	if !l.bad {
		l.text = append(l.text, c)
	}
	return "", false
}

// Reset drops what is half there. A pause on the line is the only thing that
// tells where a character begins.
func (l *Lines) Reset() { l.n, l.text, l.bad = 0, l.text[:0], false }
