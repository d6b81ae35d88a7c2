package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"barista/fleet"
)

// The subjects beside coffee.stock.<item>.get and .dec.<size>. Each takes and
// gives JSON: Request and Reply.
//
//	coffee.stock.levels   (nothing)
//	coffee.stock.add      {"item":"arabica","amount":1000,"by":"lea","key":"k1"}
//	coffee.stock.count    {"item":"arabica","amount":640,"by":"lea","key":"k2"}
//	coffee.stock.waste    {"item":"arabica","amount":50,"by":"lea","reason":"stale","key":"k3"}
var (
	subjectLevels = fleet.Subject("coffee", "stock", "levels")
	subjectAdd    = fleet.Subject("coffee", "stock", "add")
	subjectCount  = fleet.Subject("coffee", "stock", "count")
	subjectWaste  = fleet.Subject("coffee", "stock", "waste")
	subjectGet    = fleet.Subject("coffee", "stock", "*", "get")
	subjectDec    = fleet.Subject("coffee", "stock", "*", "dec", "*")
)

// answerWithin bounds one request: a customer hears within 2 s, and the
// controller has something to do after us.
const answerWithin = 1500 * time.Millisecond

// maxRequest is the largest request that is read, in bytes.
const maxRequest = 4 << 10

// Request is what the JSON subjects take. Other fields are ignored.
type Request struct {
	Item   string `json:"item,omitempty"`   // add, count, waste
	Amount *int   `json:"amount,omitempty"` // add: how much more; count: what was found; waste: how much less
	By     string `json:"by,omitempty"`     // add, count, waste: who, at most 64 characters
	Reason string `json:"reason,omitempty"` // waste: what happened to it
	Key    string `json:"key,omitempty"`    // add, count, waste: given twice, it counts once
}

// Reply is what the JSON subjects answer.
type Reply struct {
	OK      bool   `json:"ok"`
	Code    string `json:"code,omitempty"` // when not ok, see the constants
	Message string `json:"message,omitempty"`
	// levels: the book's sequence and every item; add, count and waste: the item.
	Seq    uint64                 `json:"seq,omitempty"`
	Levels map[string]fleet.Level `json:"levels,omitempty"`
}

// The codes of a Reply, beside fleet.CodeUnavailable, which means that nobody
// knows: ask again with the same key.
const (
	CodeInvalid     = "invalid"      // the request can never succeed
	CodeUnknownItem = "unknown_item" // count, waste: add it first
	CodeTooMuch     = "too_much"     // waste: there is less; count it
	CodeFull        = "full"         // the book takes nothing new; nothing was written
)

type endpoint struct {
	subject string
	answer  func(ctx context.Context, subject string, body []byte) []byte
}

func (s *Stock) endpoints() []endpoint {
	return []endpoint{
		{subjectLevels, answering(func(ctx context.Context, _ Request) (Reply, error) {
			levels, err := s.Levels(ctx)
			return Reply{Seq: s.parts.Ledger.Upto(), Levels: levels}, err
		})},
		{subjectAdd, answering(func(ctx context.Context, r Request) (Reply, error) {
			n, err := r.amount()
			if err != nil {
				return Reply{}, err
			}
			l, err := s.Add(ctx, r.Item, n, r.By, r.Key)
			return Reply{Levels: map[string]fleet.Level{r.Item: l}}, err
		})},
		{subjectCount, answering(func(ctx context.Context, r Request) (Reply, error) {
			n, err := r.amount()
			if err != nil {
				return Reply{}, err
			}
			l, err := s.Count(ctx, r.Item, n, r.By, r.Key)
			return Reply{Levels: map[string]fleet.Level{r.Item: l}}, err
		})},
		{subjectWaste, answering(func(ctx context.Context, r Request) (Reply, error) {
			n, err := r.amount()
			if err != nil {
				return Reply{}, err
			}
			l, err := s.Waste(ctx, r.Item, n, r.By, r.Reason, r.Key)
			return Reply{Levels: map[string]fleet.Level{r.Item: l}}, err
		})},
		{subjectGet, s.answerGet},
		{subjectDec, s.answerDec},
	}
}

// answering wraps a call as an endpoint.
func answering(call func(context.Context, Request) (Reply, error)) func(context.Context, string, []byte) []byte {
	return func(ctx context.Context, _ string, body []byte) []byte {
		ctx, cancel := context.WithTimeout(ctx, answerWithin)
		defer cancel()
		r, err := decodeRequest(body)
		var reply Reply
		if err == nil {
			reply, err = call(ctx, r)
		}
		if err != nil {
			reply = replyOf(err)
		}
		reply.OK = err == nil
		b, _ := json.Marshal(reply) // texts and numbers: cannot fail
		return b
	}
}

func decodeRequest(body []byte) (Request, error) {
	var r Request
	if len(body) > maxRequest {
		return r, &invalid{fmt.Errorf("%d bytes, at most %d are read", len(body), maxRequest)}
	}
	if len(body) == 0 {
		return r, nil
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, &invalid{fmt.Errorf("not a request: %w", err)}
	}
	return r, nil
}

// amount must be said: a count that left it out would empty the shelf.
func (r Request) amount() (int, error) {
	if r.Amount == nil {
		return 0, &invalid{errors.New("amount: is missing")}
	}
	return *r.Amount, nil
}

// replyOf says an error in the words of a Reply.
func replyOf(err error) Reply {
	var never *invalid
	switch {
	case errors.As(err, &never):
		return Reply{Code: CodeInvalid, Message: err.Error()}
	case errors.Is(err, fleet.ErrNotFound):
		return Reply{Code: CodeUnknownItem, Message: err.Error()}
	case errors.Is(err, fleet.ErrNotAllowed):
		return Reply{Code: CodeTooMuch, Message: err.Error()}
	case errors.Is(err, fleet.ErrFull):
		return Reply{Code: CodeFull, Message: "the shop's book is full and takes no acts of the stock: raise orders_per_day in the shop's file and start it anew"}
	}
	return Reply{Code: fleet.CodeUnavailable, Message: err.Error()}
}

// answerGet says how much of an item an order may still reserve: a plain number,
// never below zero, or a text that begins with "error".
func (s *Stock) answerGet(ctx context.Context, subject string, _ []byte) []byte {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	item := tokenOf(subject, 2)
	levels, err := s.Levels(ctx)
	if err != nil {
		return textOf(err)
	}
	l, ok := levels[item]
	if !ok {
		return textOf(fmt.Errorf("there is no %.40q in the stock", item))
	}
	return strconv.AppendInt(nil, int64(max(0, l.Available())), 10)
}

// answerDec takes one dose of a size by hand: "OK", or a text that begins with
// "error". A body of 1 to 64 letters, digits, - and _ is the key of the call:
// made again with the same key it counts once. Any other body is ignored, as
// foreign programs send what they like.
func (s *Stock) answerDec(ctx context.Context, subject string, body []byte) []byte {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	size := fleet.SizeOf(tokenOf(subject, 4))
	key := ""
	if isKey(string(body)) {
		key = string(body)
	}
	if err := s.Take(ctx, tokenOf(subject, 2), size, "coffee.stock dec", key); err != nil {
		return textOf(err)
	}
	return []byte("OK")
}

func tokenOf(subject string, n int) string {
	if t := strings.Split(subject, "."); n < len(t) {
		return t[n]
	}
	return ""
}

func textOf(err error) []byte { return []byte("error: " + err.Error()) }
