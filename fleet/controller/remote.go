package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"barista/fleet"
)

// Client is a controller in another process; its methods are those of
// Controller. See Remote.
type Client struct {
	r fleet.Requester

	mu   sync.Mutex // guards menu and read
	menu fleet.Menu
	read time.Time
}

// menuFor is how long a client believes the menu that it has.
const menuFor = time.Second

// Remote asks the controller over the network.
func Remote(r fleet.Requester) *Client { return &Client{r: r} }

// errUnsure: it may have been taken, and nobody knows yet.
var errUnsure = errors.New("it is not known whether that was taken")

func (c *Client) ask(ctx context.Context, verb string, a ask) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, 2500*time.Millisecond)
	defer cancel()
	b, err := c.r.Request(ctx, verbSubject(verb), encode(a))
	if errors.Is(err, fleet.ErrNobody) {
		return reply{}, fmt.Errorf("no controller is running: %w", err)
	}
	if err != nil {
		return reply{}, fmt.Errorf("the controller gave no answer: %w (%w)", errUnsure, err)
	}
	var r reply
	if err := json.Unmarshal(b, &r); err != nil {
		return reply{}, fmt.Errorf("the controller's answer can't be read: %w (%w)", errUnsure, err)
	}
	if t := r.Error; t != nil {
		switch t.Code {
		case codeState:
			return r, &StateError{t.Phase, t.Message}
		case codeNotFound:
			return r, fleet.Saying(t.Message, fleet.ErrNotFound)
		case codeClosed:
			return r, fleet.Saying(t.Message, fleet.ErrClosed)
		case fleet.CodeUnavailable:
			return r, fleet.Saying(t.Message, errUnsure)
		}
		return r, errors.New(t.Message)
	}
	return r, nil
}

// Place is Controller.Place.
func (c *Client) Place(ctx context.Context, body []byte, via string) fleet.Answer {
	if len(body) > fleet.MaxOrder {
		_, err := fleet.DecodeOrder(body, nil) // says so
		return fleet.Invalid(err)
	}
	r, err := c.ask(ctx, verbPlace, ask{Via: via, Body: body})
	if err != nil || r.Answer == nil {
		id := ""
		if o, bad := fleet.DecodeOrder(body, nil); bad == nil {
			id = o.ID
		}
		if errors.Is(err, fleet.ErrNobody) {
			return fleet.Sorry(id, fleet.CodeUnavailable, "The shop is closed at the moment: no controller answers.")
		}
		return fleet.Sorry(id, fleet.CodeUnavailable, "It is not known yet whether the order was taken. Please ask again with the same order id.")
	}
	return *r.Answer
}

// Cancel is Controller.Cancel.
func (c *Client) Cancel(ctx context.Context, order, by string) error {
	_, err := c.ask(ctx, verbCancel, ask{Order: order, By: by})
	return err
}

// Settle is Controller.Settle.
func (c *Client) Settle(ctx context.Context, order string, made bool, by, reason string) error {
	_, err := c.ask(ctx, verbSettle, ask{Order: order, Made: made, By: by, Reason: reason})
	return err
}

// Said is Controller.Said.
func (c *Client) Said(ctx context.Context, order string, made bool) error {
	_, err := c.ask(ctx, verbSaid, ask{Order: order, Made: made})
	return err
}

// MakeAgain is Controller.MakeAgain.
func (c *Client) MakeAgain(ctx context.Context, order, by string) error {
	_, err := c.ask(ctx, verbAgain, ask{Order: order, By: by})
	return err
}

// Care is Controller.Care.
func (c *Client) Care(ctx context.Context, machine string, kind fleet.Size, by string, last bool) (string, error) {
	r, err := c.ask(ctx, verbCare, ask{Machine: machine, Size: kind, By: by, Last: last})
	return r.Order, err
}

// Standing is Controller.Standing.
func (c *Client) Standing(ctx context.Context) (fleet.Standing, error) {
	r, err := c.ask(ctx, verbStands, ask{})
	if err != nil {
		return fleet.Standing{}, err
	}
	if r.Standing == nil { // an earlier version
		return fleet.Standing{State: fleet.StandOpen}, nil
	}
	return *r.Standing, nil
}

// AcceptLoss is Controller.AcceptLoss.
func (c *Client) AcceptLoss(ctx context.Context, by, why string) error {
	_, err := c.ask(ctx, verbLoss, ask{By: by, Reason: why})
	return err
}

// GoOn is Controller.GoOn.
func (c *Client) GoOn(ctx context.Context, machine, by, why string) error {
	_, err := c.ask(ctx, verbGoOn, ask{Machine: machine, By: by, Reason: why})
	return err
}

// Wait is Controller.Wait; a controller that does not answer is a reason too.
func (c *Client) Wait(ctx context.Context, class fleet.Class, size fleet.Size) fleet.Wait {
	r, err := c.ask(ctx, verbWait, ask{Class: &class, Size: size})
	if err != nil || r.Wait == nil {
		return fleet.Wait{Code: fleet.CodeSilent}
	}
	return fleet.Wait{Low: seconds(r.Wait.Low), High: seconds(r.Wait.High), Known: r.Wait.Known, Code: r.Wait.Code, Item: r.Wait.Item, TooSweet: r.Wait.TooSweet}
}

// Forecasts is Controller.Forecasts; none while the controller does not answer.
func (c *Client) Forecasts(ctx context.Context) map[string]fleet.Forecast {
	r, err := c.ask(ctx, verbForecasts, ask{})
	if err != nil {
		return nil
	}
	all := map[string]fleet.Forecast{}
	for _, f := range r.Forecasts {
		all[f.Order] = f
	}
	return all
}

// Troubles is Controller.Troubles; ErrNobody where no controller runs.
func (c *Client) Troubles(ctx context.Context) ([]fleet.Trouble, error) {
	r, err := c.ask(ctx, verbTroubles, ask{})
	return r.Troubles, err
}

// Menu is Controller.Menu, at most a second old; while the controller does not
// answer, the last one that was heard, or the zero menu.
func (c *Client) Menu() fleet.Menu {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && time.Since(c.read) < menuFor {
		return c.menu
	}
	if r, err := c.ask(context.Background(), verbMenu, ask{}); err == nil && r.Menu != nil {
		c.menu = *r.Menu
	}
	c.read = time.Now()
	return c.menu
}
