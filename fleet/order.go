package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxOrder is the largest order that is read, in bytes.
const MaxOrder = 4 << 10

// MaxSugar is the largest number of sugar doses in a cup.
const MaxSugar = 3

// maxName is the longest name in characters, after trimming and normalising.
const maxName = 40

// maxDepth bounds the nesting of unknown fields. An order itself is flat.
const maxDepth = 8

// Size is the size of a cup.
type Size string

// The sizes.
const (
	Small  Size = "small"
	Medium Size = "medium"
	Large  Size = "large"
)

// Sizes lists every size, smallest first.
var Sizes = []Size{Small, Medium, Large}

// SizeOf folds what an order may also say: "big" is Large.
func SizeOf(word string) Size {
	if word == "big" {
		return Large
	}
	return Size(word)
}

// NoMilk is the milk of a black coffee.
const NoMilk = "free"

// MilkOf folds the other words for a milk that an order may use.
func MilkOf(word string) string {
	switch word {
	case "none":
		return NoMilk
	case "cow":
		return "normal"
	case "soy":
		return "soja"
	}
	return word
}

// Order is what a customer wants, decoded and in canonical form: the only form
// that is stored or passed on. Bean and Milk are tokens (see Token); whether
// they are on the menu is the controller's affair.
type Order struct {
	ID    string `json:"id,omitempty"` // ULID in upper case; empty until the controller makes one
	Name  string `json:"name"`         // 1–40 characters, trimmed, no control characters
	Size  Size   `json:"size"`         //
	Bean  string `json:"bean_type"`    // "arabica"
	Milk  string `json:"milk"`         // "free", "normal", "soja"
	Sugar int    `json:"sugar_count"`  // 0–3 doses
}

// Class says what a machine must be able to make: it is the pair by which
// orders are queued.
type Class struct {
	Bean string `json:"bean"`
	Milk string `json:"milk"`
}

// String is the class as people and metrics write it: "arabica/normal".
func (c Class) String() string { return c.Bean + "/" + c.Milk }

// Class is the class of the order.
func (o Order) Class() Class { return Class{o.Bean, o.Milk} }

// Hash identifies what was ordered, without the id: two orders with the same
// id and another hash are a conflict.
func (o Order) Hash() string {
	o.ID = ""
	b, _ := json.Marshal(o) // strings and an int: cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Encode is the canonical JSON of the order, as the queue carries it.
func (o Order) Encode() []byte {
	b, _ := json.Marshal(o)
	return b
}

// FieldError says which field of an order is wrong and how to mend it. Field is
// empty where the message as a whole is no order.
type FieldError struct {
	Field  string
	Reason string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return "not an order: " + e.Reason
	}
	return e.Field + ": " + e.Reason
}

func bad(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// DecodeOrder reads an order as anyone may send it: JSON v1, at most MaxOrder
// bytes, one object, no key twice at any depth, nothing behind it. Unknown
// fields are allowed and dropped. The error is always a *FieldError.
//
// normal is applied to the name before its characters are counted; the shop
// passes Unicode NFC, a reader of canonical orders passes nil.
func DecodeOrder(b []byte, normal func(string) string) (Order, error) {
	var o Order
	if len(b) > MaxOrder {
		return o, bad("", "%d bytes, at most %d are read", len(b), MaxOrder)
	}
	fields, err := object(b)
	if err != nil {
		return o, err
	}
	str := func(key string, need bool) (string, error) {
		v, there := fields[key]
		if !there {
			if need {
				return "", bad(key, "is missing")
			}
			return "", nil
		}
		s, ok := v.(string)
		if !ok {
			return "", bad(key, "must be a text")
		}
		return s, nil
	}
	id, err := str("id", false)
	if err != nil {
		return o, err
	}
	if id != "" {
		if o.ID, err = ParseID(id); err != nil {
			return o, bad("id", "%v", err)
		}
	} else if _, there := fields["id"]; there {
		return o, bad("id", "is empty; leave it out and the shop makes one")
	}
	name, err := str("name", true)
	if err != nil {
		return o, err
	}
	if o.Name, err = cleanName(name, normal); err != nil {
		return o, err
	}
	size, err := str("size", true)
	if err != nil {
		return o, err
	}
	bean, err := str("bean_type", true)
	o.Size, o.Bean = SizeOf(size), Lower(bean)
	switch {
	case o.IsCare() && !slices.Contains(CareKinds, o.Size):
		return o, bad("size", "of the care of a machine must be rinse, clean or descale")
	case !o.IsCare() && !slices.Contains(Sizes, o.Size):
		return o, bad("size", "must be small, medium or large")
	case err != nil:
		return o, err
	}
	if !IsToken(o.Bean) {
		return o, bad("bean_type", "must be the name of a bean: 1 to 32 of a-z, 0-9 and -")
	}
	milk, err := str("milk", true)
	if err != nil {
		return o, err
	}
	if o.Milk = MilkOf(Lower(milk)); !IsToken(o.Milk) {
		return o, bad("milk", "must be the name of a milk: free, normal or soja")
	}
	if o.Sugar, err = sugar(fields["sugar_count"], fields); err != nil {
		return o, err
	}
	if o.IsCare() && o.Sugar > 0 {
		return o, bad("sugar_count", "the care of a machine takes none")
	}
	return o, nil
}

func sugar(v any, fields map[string]any) (int, error) {
	wrong := bad("sugar_count", "must be a whole number from 0 to %d", MaxSugar)
	switch v := v.(type) {
	case nil:
		if _, there := fields["sugar_count"]; there {
			return 0, wrong
		}
		return 0, nil
	case string:
		if len(v) == 1 && v[0] >= '0' && v[0] <= '0'+MaxSugar {
			return int(v[0] - '0'), nil
		}
	case json.Number:
		// Up to eight characters a float says exactly whether it is whole, but for
		// those so small that they become 0.
		f, err := strconv.ParseFloat(v.String(), 64)
		tiny := f == 0 && strings.ContainsAny(strings.ToLower(v.String()), "123456789e")
		if err == nil && !tiny && len(v) <= 8 && f >= 0 && f <= MaxSugar && f == math.Trunc(f) {
			return int(f), nil
		}
	}
	return 0, wrong
}

// object reads one JSON object strictly. Numbers stay json.Number; nested
// values are checked and come back as nil.
func object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, bad("", "must be UTF-8 text")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	tok, err := dec.Token()
	if err != nil {
		return nil, bad("", "no JSON object")
	}
	if tok != json.Delim('{') {
		return nil, bad("", "must be a JSON object")
	}
	fields, err := members(dec, 1)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, bad("", "something follows the JSON object")
	}
	return fields, nil
}

func members(dec *json.Decoder, depth int) (map[string]any, error) {
	fields := make(map[string]any)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, bad("", "broken JSON")
		}
		key, _ := tok.(string)
		if _, twice := fields[key]; twice {
			return nil, bad("", "the key %s is there twice", clip(key))
		}
		if fields[key], err = value(dec, depth); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad("", "broken JSON")
	}
	return fields, nil
}

func value(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, bad("", "broken JSON")
	}
	delim, nested := tok.(json.Delim)
	if !nested {
		return tok, nil
	}
	if depth >= maxDepth {
		return nil, bad("", "nested deeper than %d", maxDepth)
	}
	if delim == '{' {
		_, err := members(dec, depth+1)
		return struct{}{}, err
	}
	for dec.More() {
		if _, err := value(dec, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, bad("", "broken JSON")
	}
	return struct{}{}, nil
}

// clip quotes a foreign text for a message: short, and with nothing in it that
// acts.
func clip(s string) string {
	if len(s) > 32 {
		s = strings.ToValidUTF8(s[:32], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// Lower folds A–Z only: other letters make no token anyway.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
