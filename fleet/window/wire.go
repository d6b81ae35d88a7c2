package window

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"barista/fleet"
)

// maxKey is the longest key of a setting that is asked for; maxName the longest name
// that a page may begin behind, whoever gave it.
const (
	maxKey  = 100
	maxName = 4 << 10
)

// maxAsk is the largest request that is read: a menu in base64 and its frame.
const maxAsk = 96 << 10

// ask is every request.
type ask struct {
	Order string    `json:"order,omitempty"` // read, history
	Seq   uint64    `json:"seq,omitempty"`   // at: this one; records, history, stored: from this one on
	Time  time.Time `json:"time,omitzero"`   // since
	End   bool      `json:"end,omitempty"`   // records: also say where the book ends
	Wait  bool      `json:"wait,omitempty"`  // records: where there is none, wait for the next
	After string    `json:"after,omitempty"` // machines, all: what is named after this
	Key   string    `json:"key,omitempty"`   // get, put, delete
	Value []byte    `json:"value,omitempty"` // put
}

// decode reads a request: one object, no key twice, nothing behind it, each value of
// its kind. Unknown fields are dropped: who asks may be newer than the shop.
func decode(b []byte) (ask, error) {
	var a ask
	if len(b) > maxAsk {
		return a, fmt.Errorf("%d bytes, at most %d are read", len(b), maxAsk)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return ask{}, err
	}
	switch {
	case a.Order != "" && !isOrder(a.Order):
		return ask{}, errors.New("the order has no id")
	case len(a.After) > maxName:
		return ask{}, errors.New("nothing is named so")
	case a.Key != "" && !isKey(a.Key):
		return ask{}, errors.New("no setting is called so")
	}
	return a, nil
}

// isOrder reports whether s is an order's id as the shop writes it.
func isOrder(s string) bool {
	id, err := fleet.ParseID(s)
	return err == nil && id == s
}

// isKey reports whether s may be a key of the settings: tokens with dots between.
func isKey(s string) bool {
	if len(s) > maxKey {
		return false
	}
	for t := range strings.SplitSeq(s, ".") {
		if !fleet.IsToken(t) {
			return false
		}
	}
	return true
}

// reply is every answer.
type reply struct {
	Code     string               `json:"code,omitempty"` // empty: it was done
	Seq      uint64               `json:"seq,omitempty"`  // since, told; read: of a damaged one; records: where the book ends
	Time     time.Time            `json:"time,omitzero"`  // now
	Records  []stdjson.RawMessage `json:"records,omitempty"`
	Next     uint64               `json:"next,omitempty"` // records: where the next page begins
	More     bool                 `json:"more,omitempty"` // there is more behind this page
	Machines []stdjson.RawMessage `json:"machines,omitempty"`
	Settings []stdjson.RawMessage `json:"settings,omitempty"`
	Stored   []stdjson.RawMessage `json:"stored,omitempty"`
	Waiting  []waiting            `json:"waiting,omitempty"`
	Value    []byte               `json:"value,omitempty"`
}

// frame is what an answer has around its content, at most.
const frame = 1 << 10

// The codes of an answer that says no. Nothing was done, but with codeNoAnswer.
const (
	codeRefused    = "refused"     // nobody can ask this
	codeNotAllowed = "not_allowed" // this key is not set here, or not to that
	codeBusy       = "busy"        // too many ask: ask again
	codeNotFound   = "not_found"
	codeDamaged    = "damaged"
	codeFull       = "full"
	codeNoAnswer   = "no_answer" // nobody knows
)

var (
	errRefused = errors.New("the controller does not know this question: is it of another version?")
	errBusy    = errors.New("the controller is asked by too many at once, and nothing was done: ask again")
)

// meanings are what the codes mean to whoever asked.
var meanings = map[string]error{
	codeRefused:    errRefused,
	codeNotAllowed: fleet.ErrNotAllowed,
	codeBusy:       errBusy,
	codeNotFound:   fleet.ErrNotFound,
	codeDamaged:    fleet.ErrDamaged,
	codeFull:       fleet.ErrFull,
	codeNoAnswer:   fleet.ErrNoAnswer,
}

// record is a record of the book.
type record struct {
	Seq      uint64          `json:"seq"`
	Rec      string          `json:"rec,omitempty"`
	Written  time.Time       `json:"written,omitzero"`
	Order    string          `json:"order_id,omitempty"` // of one that can't be read
	Unread   string          `json:"unread,omitempty"`
	Act      bool            `json:"act,omitempty"`
	Rolled   uint64          `json:"rolled,omitempty"`
	Claim    *fleet.Claim    `json:"claim,omitempty"`
	Stock    *fleet.StockAct `json:"stock,omitempty"`
	Refusals *fleet.Refusals `json:"refusals,omitempty"`
	Balance  *fleet.Balance  `json:"balance,omitempty"`
	Loss     *fleet.Loss     `json:"loss,omitempty"`
}

func write(r fleet.Record) record {
	out := record{
		Seq: r.Seq, Rec: r.Rec, Written: r.Written, Unread: r.Unread, Act: r.Act, Rolled: r.Rolled,
		Stock: r.Stock, Refusals: r.Refusals, Balance: r.Balance, Loss: r.Loss,
	}
	if r.IsClaim {
		out.Claim = &r.Claim
	} else {
		out.Order = r.Order.ID
	}
	return out
}

// read is the other way. What no shop could mean is an error: it would be drawn and
// typed into.
func (r record) read() (fleet.Record, error) {
	out := fleet.Record{
		Unread: r.Unread, Act: r.Act, Rolled: r.Rolled, Stock: r.Stock, Refusals: r.Refusals, Balance: r.Balance, Loss: r.Loss, IsClaim: r.Claim != nil,
	}
	if out.IsClaim {
		out.Claim = *r.Claim
	} else {
		out.Order.ID = r.Order
	}
	out.Revision, out.Written = fleet.Revision{Seq: r.Seq, Rec: r.Rec}, r.Written
	said := 0
	for _, is := range []bool{r.Claim != nil, r.Stock != nil, r.Refusals != nil, r.Balance != nil, r.Loss != nil, r.Unread != ""} {
		if is {
			said++
		}
	}
	switch {
	case r.Seq == 0 || said != 1 || r.Order != "" && !isOrder(r.Order):
		return fleet.Record{}, errors.New("that is no record")
	case r.Unread != "":
		return out, nil
	}
	return out, out.Check(r.Seq)
}

// fitting is a record as it goes out, in at most so many bytes. Of one that is larger
// than any answer may be the parts are left out that only the ledger itself reads; what
// is too large without them says so.
func fitting(r fleet.Record, most int) []byte {
	one := write(r)
	b, err := stdjson.Marshal(one)
	if err == nil && len(b) <= most {
		return b
	}
	switch {
	case r.Balance != nil:
		slim := *r.Balance
		slim.Keys, slim.Counted, slim.Refusals = nil, nil, fleet.Refusals{}
		one.Balance = &slim
	case r.Refusals != nil:
		one.Refusals = &fleet.Refusals{Before: r.Refusals.Before, What: r.Refusals.What}
	}
	if b, err = stdjson.Marshal(one); err == nil && len(b) <= most {
		return b
	}
	b, _ = stdjson.Marshal(record{Seq: r.Seq, Rec: r.Rec, Written: r.Written, Act: r.Act, Rolled: r.Rolled, Order: r.Order.ID,
		Unread: fmt.Sprintf("it is larger than the %d bytes that an answer may have", most)})
	return b
}

// machine is a machine as the shop knows it.
type machine struct {
	fleet.Presence
	Here   bool          `json:"here"`
	Heard  time.Time     `json:"-"` // means something in the process that heard it only
	Seen   time.Time     `json:"seen,omitzero"`
	Cordon *fleet.Cordon `json:"cordon,omitempty"`
}

// setting is one key of the settings.
type setting struct {
	Key string `json:"key"`
	fleet.Setting
}

// stored is a message in the queue.
type stored struct {
	Order     string      `json:"order,omitempty"`
	MessageID string      `json:"message,omitempty"`
	Class     fleet.Class `json:"class"`
	Seq       uint64      `json:"seq"`
	Body      []byte      `json:"body,omitempty"`
	Portion   fleet.Items `json:"doses,omitempty"`
	Stored    time.Time   `json:"stored"`
}

// waiting is how many messages of a class are in the queue.
type waiting struct {
	fleet.Class
	N int `json:"n"`
}

// page is what of a list goes into one answer.
type page struct {
	left int
	list []stdjson.RawMessage
	full bool
}

// add takes one more; false if it does not fit any more.
func (p *page) add(b []byte) bool {
	if p.full || len(p.list) > 0 && len(b)+1 > p.left {
		p.full = true
		return false
	}
	p.list = append(p.list, b)
	p.left -= len(b) + 1
	return true
}
