package controller

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// What other processes ask of the controller, on coffee.controller.<verb>, as
// JSON in and out. Every request is an ask, every answer a reply:
//
//	place  {"via","body"}                     → {"answer"}; body is the order's JSON in base64
//	cancel {"order","by"}                     → {} or {"error"}
//	settle {"order","made","by","reason"}     → {} or {"error"}
//	said   {"order","made"}                   → {} or {"error"}: the customer's own word
//	again  {"order","by"}                     → {} or {"error"}
//	care   {"machine","size","by","last"}     → {"order"} or {"error"}: a machine is cared for; size: rinse, clean, descale
//	wait   {"class":{"bean","milk"},"size"}   → {"wait":{"low_seconds","high_seconds","known","code","item","too_sweet"}}
//	menu   {}                                 → {"menu"}
//	troubles {}                               → {"troubles"}: what a person should look at
//	forecasts {}                              → {"forecasts"}: of every open order, see fleet.Forecast
//	stands {}                                 → {"standing"}: whether its book is whole
//	loss   {"by","reason"}                    → {} or {"error"}: accepts what is lost
//	goon   {"machine","by","reason"}          → {} or {"error"}: without a machine that does not come
//
// An error has a code: "not_found", "state" (with the order's phase), "invalid",
// "closed", after which nothing was done, or "unavailable", after which nobody knows
// whether it was taken.
const (
	verbPlace  = "place"
	verbCancel = "cancel"
	verbSettle = "settle"
	verbSaid   = "said"
	verbAgain  = "again"
	verbWait   = "wait"
	verbMenu   = "menu"
	verbStands = "stands"
	verbLoss   = "loss"
	verbGoOn   = "goon"
	verbCare   = "care"

	verbTroubles  = "troubles"
	verbForecasts = "forecasts"
)

func verbSubject(verb string) string { return fleet.Subject("coffee", "controller", verb) }

// maxAsk is the largest request that is read: an order in base64 and its frame.
const maxAsk = 2 * fleet.MaxOrder

type ask struct {
	Order   string       `json:"order,omitempty"`
	Machine string       `json:"machine,omitempty"`
	By      string       `json:"by,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Made    bool         `json:"made,omitempty"`
	Last    bool         `json:"last,omitempty"`
	Via     string       `json:"via,omitempty"`
	Body    []byte       `json:"body,omitempty"`
	Class   *fleet.Class `json:"class,omitempty"`
	Size    fleet.Size   `json:"size,omitempty"`
}

type reply struct {
	Answer   *fleet.Answer   `json:"answer,omitempty"`
	Order    string          `json:"order,omitempty"`
	Error    *trouble        `json:"error,omitempty"`
	Wait     *waitReply      `json:"wait,omitempty"`
	Menu     *fleet.Menu     `json:"menu,omitempty"`
	Standing *fleet.Standing `json:"standing,omitempty"`

	Troubles  []fleet.Trouble  `json:"troubles,omitempty"`
	Forecasts []fleet.Forecast `json:"forecasts,omitempty"`
}

type trouble struct {
	Code    string      `json:"code"`
	Phase   fleet.Phase `json:"phase,omitempty"`
	Message string      `json:"message"`
}

// The codes of a trouble.
const (
	codeNotFound = "not_found"
	codeState    = "state"
	codeInvalid  = "invalid"
	codeClosed   = "closed"
)

// waitReply is a fleet.Wait on the wire.
type waitReply struct {
	Low      float64 `json:"low_seconds"`
	High     float64 `json:"high_seconds"`
	Known    bool    `json:"known"`
	Code     string  `json:"code,omitempty"`
	Item     string  `json:"item,omitempty"`
	TooSweet int     `json:"too_sweet,omitempty"`
}

// serve answers requests until ctx ends.
func (c *Controller) serve(ctx context.Context, wg *sync.WaitGroup) {
	answer := func(subject string, f func(context.Context, []byte) []byte) {
		wg.Go(func() {
			fleet.Keep(ctx, c.log, subject, func() error {
				return c.p.Server.Serve(ctx, subject, true, func(ctx context.Context, _ string, body []byte) []byte {
					// An order in hand is finished when the shop closes; it has
					// its own limit of time.
					defer c.asked.in()()
					return f(context.WithoutCancel(ctx), body)
				})
			})
		})
	}
	if c.cfg.Requests {
		answer(fleet.SubjectRequests, func(ctx context.Context, body []byte) []byte {
			return encode(c.Place(ctx, body, viaRequest))
		})
	}
	for _, verb := range []string{verbPlace, verbCancel, verbSettle, verbSaid, verbAgain, verbWait, verbMenu, verbStands, verbLoss, verbGoOn, verbCare, verbTroubles, verbForecasts} {
		answer(verbSubject(verb), func(ctx context.Context, body []byte) []byte {
			return encode(c.hear(ctx, verb, body))
		})
	}
}

// hear answers one request of another process.
func (c *Controller) hear(ctx context.Context, verb string, body []byte) reply {
	var a ask
	if len(body) > maxAsk {
		return reply{Error: &trouble{Code: codeInvalid, Message: "the request is too long"}}
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a); err != nil {
			return reply{Error: &trouble{Code: codeInvalid, Message: "the request is not JSON of the right form"}}
		}
	}
	switch verb {
	case verbPlace:
		got := c.Place(ctx, a.Body, a.Via)
		return reply{Answer: &got}
	case verbCancel:
		return reply{Error: explain(c.Cancel(ctx, a.Order, a.By))}
	case verbSettle:
		return reply{Error: explain(c.Settle(ctx, a.Order, a.Made, a.By, a.Reason))}
	case verbSaid:
		return reply{Error: explain(c.Said(ctx, a.Order, a.Made))}
	case verbAgain:
		return reply{Error: explain(c.MakeAgain(ctx, a.Order, a.By))}
	case verbLoss:
		return reply{Error: explain(c.AcceptLoss(ctx, a.By, a.Reason))}
	case verbGoOn:
		return reply{Error: explain(c.GoOn(ctx, a.Machine, a.By, a.Reason))}
	case verbCare:
		id, err := c.Care(ctx, a.Machine, a.Size, a.By, a.Last)
		return reply{Order: id, Error: explain(err)}
	case verbStands:
		s := c.p.Witness.Standing()
		return reply{Standing: &s}
	case verbWait:
		if a.Class == nil {
			return reply{Error: &trouble{Code: codeInvalid, Message: "class: is missing"}}
		}
		w := c.Wait(ctx, *a.Class, a.Size)
		return reply{Wait: &waitReply{w.Low.Seconds(), w.High.Seconds(), w.Known, w.Code, w.Item, w.TooSweet}}
	case verbForecasts:
		return reply{Forecasts: slices.Collect(maps.Values(c.Forecasts(ctx)))}
	case verbTroubles:
		all, _ := c.Troubles(ctx)
		return reply{Troubles: all}
	}
	m := c.Menu()
	return reply{Menu: &m}
}

// explain turns an error of the controller into its words on the wire.
func explain(err error) *trouble {
	var state *StateError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &state):
		return &trouble{Code: codeState, Phase: state.Phase, Message: state.Message}
	case errors.Is(err, fleet.ErrNotFound):
		return &trouble{Code: codeNotFound, Message: err.Error()}
	case errors.Is(err, fleet.ErrClosed):
		return &trouble{Code: codeClosed, Message: err.Error()}
	case errors.Is(err, errUnsure), errors.Is(err, errOpening):
		return &trouble{Code: fleet.CodeUnavailable, Message: err.Error()}
	}
	return &trouble{Code: codeInvalid, Message: err.Error()}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // plain structs: cannot happen
		return []byte(`{"error":{"code":"unavailable","message":"the answer could not be written"}}`)
	}
	return b
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
