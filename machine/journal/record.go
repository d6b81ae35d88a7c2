package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"barista/fleet"
)

// Outcome is what the journal can say of a start: the fleet's word, so that it
// goes into the claim as it is. It is the only word of the fleet that a machine
// uses.
type Outcome = fleet.Outcome

// The outcomes.
const (
	Made      = fleet.Made
	Spoiled   = fleet.Spoiled
	Untouched = fleet.Untouched
	Unknown   = fleet.OutcomeUnknown
)

// Key is one attempt at one order: what its claim calls id and epoch.
type Key struct {
	Order string
	Epoch int
}

func (k Key) String() string { return fmt.Sprintf("%s#%d", k.Order, k.Epoch) }

// Note is what is worth knowing of a start after a crash.
type Note struct {
	Counter int    // of the appliance, before the start; -1 = it has none
	Cycles  int    // by how much the counter rises for a whole drink; 0 is 1
	What    string // for people: "large, 30 g, 180 ml"
}

// Phase is how far an attempt came.
type Phase string

// The phases.
const (
	None      Phase = "none"
	Started   Phase = "started"
	Ended     Phase = "ended"
	Confirmed Phase = "confirmed" // the end is in the claim
)

// Reason says why, as data. The sentence is made where somebody reads it, in his
// language. It is an error too, in the words of a log.
type Reason struct {
	Code   string // a stable word; "": an old record, which has only what was said
	Detail string // figures and names, the same in every language
	Quote  string // words from elsewhere, as they came: a driver's error, a person's reason
}

func (r Reason) Error() string {
	var parts []string
	for _, s := range []string{r.Code, r.Detail, r.Quote} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// State is what the journal says of an attempt.
type State struct {
	Phase   Phase
	Outcome Outcome // from Ended on
	Reason  Reason
}

// Record is an attempt that is not settled.
type Record struct {
	Key
	Note
	Ended   bool
	Outcome Outcome
	Reason  Reason
	At      time.Time // wall clock of the start, for display only
}

// payload is the JSON of a record. The words of Do are below.
type payload struct {
	Do      string  `json:"do"`
	Order   string  `json:"order,omitempty"`
	Epoch   int     `json:"epoch,omitempty"`
	Counter *int    `json:"counter,omitempty"`
	Cycles  int     `json:"cycles,omitempty"`
	What    string  `json:"what,omitempty"`
	Outcome Outcome `json:"outcome,omitempty"`
	Code    string  `json:"code,omitempty"`
	Detail  string  `json:"detail,omitempty"`
	Reason  string  `json:"reason,omitempty"` // what was said; before there were codes, the whole sentence
	By      string  `json:"by,omitempty"`
	Is      string  `json:"is,omitempty"` // hardware
	Boot    string  `json:"boot,omitempty"`
	Held    string  `json:"held,omitempty"` // which lock the process held, and under which boot
	ID      string  `json:"id,omitempty"`   // of another memory
	N       uint64  `json:"n,omitempty"`    // how many
	At      string  `json:"at,omitempty"`   // RFC 3339, for display
}

const (
	doStart   = "start"
	doEnd     = "end"
	doConfirm = "confirm"
	doDrink   = "drink"  // start, end and confirm in one, written by compaction
	doCup     = "cup"    // this drink's cup still stands there (or none's)
	doTaken   = "taken"  // this drink's cup was seen taken
	doRun     = "run"    // under this boot of the kernel records follow; none: all before is on disk
	doDamage  = "damage" // the journal before this one, of this id, was moved aside or is gone
	doAccept  = "accept" // a person accepted that
	doGuard   = "guard"  // the guard's memory beside it stands there
	doTook    = "took"   // so many records have come, with those that compaction took
	doIs      = "is"     // the hardware has this name from here on
)

func (p payload) key() Key { return Key{p.Order, p.Epoch} }

func (p payload) why() Reason { return Reason{p.Code, p.Detail, p.Reason} }

// ended is the record of an end.
func ended(do string, k Key, out Outcome, r Reason) payload {
	return payload{Do: do, Order: k.Order, Epoch: k.Epoch, Outcome: out, Code: clip(r.Code), Detail: clip(r.Detail), Reason: clip(r.Quote)}
}

const (
	magic      = "barista"
	version    = 1
	frame      = 16       // length, sequence, CRC
	maxPayload = 16 << 10 // bytes
	maxText    = 1000     // bytes of a reason or a note
	maxHeader  = 1 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the begin of the file.
type header struct {
	ID       string `json:"id"`
	Hardware string `json:"hardware"`
}

func (h header) encode() []byte {
	body, err := json.Marshal(h)
	if err != nil {
		panic(err) // two strings
	}
	b := append([]byte(magic), version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errVersion: a later barista wrote it; nothing is wrong with it.
var errVersion = errors.New("it was written by a later version of barista: use that one, or move the file away")

// decodeHeader reads the header and says where the records begin.
func decodeHeader(b []byte) (header, int, error) {
	var h header
	const fixed = len(magic) + 1 + 4
	if len(b) < fixed || string(b[:len(magic)]) != magic {
		return h, 0, errors.New("the header is not that of a journal")
	}
	n := binary.BigEndian.Uint32(b[len(magic)+1:])
	if n > maxHeader || len(b) < fixed+int(n)+4 {
		return h, 0, errors.New("the header is cut off")
	}
	end := fixed + int(n)
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return h, 0, errors.New("the header's check sum is wrong")
	}
	if b[len(magic)] != version {
		return h, 0, errVersion
	}
	if err := json.Unmarshal(b[fixed:end], &h); err != nil || h.ID == "" {
		return h, 0, errors.New("the header makes no sense")
	}
	return h, end + 4, nil
}

// encode makes a record of a payload.
func encode(id string, seq uint64, p payload) ([]byte, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	if len(body) > maxPayload {
		return nil, fmt.Errorf("a record of %d bytes is too long, the limit is %d", len(body), maxPayload)
	}
	b := make([]byte, frame, frame+len(body))
	binary.BigEndian.PutUint32(b, uint32(len(body)))
	binary.BigEndian.PutUint64(b[4:], seq)
	binary.BigEndian.PutUint32(b[12:], sum(id, b[:12], body))
	return append(b, body...), nil
}

func sum(id string, head, body []byte) uint32 {
	c := crc32.Update(0, castagnoli, []byte(id))
	c = crc32.Update(c, castagnoli, head)
	return crc32.Update(c, castagnoli, body)
}

// next reads the record at the begin of b, if it is whole and has this
// sequence.
func next(id string, seq uint64, b []byte) (p payload, size int, ok bool) {
	body, ok := whole(id, b)
	if !ok || binary.BigEndian.Uint64(b[4:]) != seq {
		return p, 0, false
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, 0, false
	}
	return p, frame + len(body), true
}

// whole cuts the payload out of a record whose check sum is right.
func whole(id string, b []byte) ([]byte, bool) {
	if len(b) < frame {
		return nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > maxPayload || len(b) < frame+int(n) {
		return nil, false
	}
	body := b[frame : frame+int(n)]
	return body, sum(id, b[:12], body) == binary.BigEndian.Uint32(b[12:])
}

// torn reports whether rest, which does not begin with a good record, can be what
// a power cut left of an end that was not on disk yet: the front of one record, or
// that and zeros where the disk had room but no data yet. Anything else is damage:
// a file that lost its end has no good record behind the hole.
func torn(id string, rest []byte) bool {
	if len(rest) <= frame {
		return true // nothing of the payload, and the check sum may end in a line feed
	}
	if len(bytes.TrimRight(rest, "\x00")) == 0 {
		return true
	}
	if rest[len(rest)-1] == '\n' {
		return false
	}
	if n := binary.BigEndian.Uint32(rest); n > 0 && n <= maxPayload && frame+int(n) <= len(rest) && rest[frame+int(n)-1] != 0 {
		return false
	}
	for at := 1; at+frame <= len(rest); at++ {
		if _, good := whole(id, rest[at:]); good {
			return false
		}
	}
	return true
}

// decode reads a whole file. good is where the last good record ends. err is
// damage; a torn end is none.
func decode(b []byte, each func(payload)) (h header, seq uint64, good int, err error) {
	h, good, err = decodeHeader(b)
	if err != nil {
		return h, 0, 0, err
	}
	for good < len(b) {
		p, size, ok := next(h.ID, seq+1, b[good:])
		if !ok {
			if torn(h.ID, b[good:]) {
				return h, seq, good, nil
			}
			return h, seq, good, fmt.Errorf("record %d, at byte %d, is damaged", seq+1, good)
		}
		each(p)
		seq++
		good += size
	}
	return h, seq, good, nil
}

// clip keeps text of a reason or note within bounds.
func clip(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return s
}
