package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"barista/fleet"
)

// Remote is the stock of another process, over the network.
func Remote(r fleet.Requester) Client { return Client{r} }

// Client is the stock of another process, over the network. Its errors are those
// of Stock; one that wraps fleet.ErrNobody is certain that nothing was done.
type Client struct{ Requester fleet.Requester }

// Levels is Stock.Levels.
func (c Client) Levels(ctx context.Context) (map[string]fleet.Level, error) {
	r, err := c.ask(ctx, subjectLevels, Request{})
	return r.Levels, err
}

// Add is Stock.Add.
func (c Client) Add(ctx context.Context, item string, amount int, by, key string) (fleet.Level, error) {
	r, err := c.ask(ctx, subjectAdd, Request{Item: item, Amount: &amount, By: by, Key: key})
	return r.Levels[item], err
}

// Count is Stock.Count.
func (c Client) Count(ctx context.Context, item string, found int, by, key string) (fleet.Level, error) {
	r, err := c.ask(ctx, subjectCount, Request{Item: item, Amount: &found, By: by, Key: key})
	return r.Levels[item], err
}

// Waste is Stock.Waste.
func (c Client) Waste(ctx context.Context, item string, amount int, by, reason, key string) (fleet.Level, error) {
	r, err := c.ask(ctx, subjectWaste, Request{Item: item, Amount: &amount, By: by, Reason: reason, Key: key})
	return r.Levels[item], err
}

// ask sends one request and turns the reply back into the errors of Stock.
func (c Client) ask(ctx context.Context, subject string, r Request) (Reply, error) {
	var reply Reply
	body, err := json.Marshal(r)
	if err != nil {
		return reply, err
	}
	answer, err := c.Requester.Request(ctx, subject, body)
	if errors.Is(err, fleet.ErrNobody) {
		return reply, fmt.Errorf("the stock does not answer, is the shop running?: %w", err)
	}
	if err != nil {
		return reply, fmt.Errorf("stock: %w", err)
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return reply, fmt.Errorf("stock: the reply can't be read: %w (%w)", fleet.ErrNoAnswer, err)
	}
	switch {
	case reply.OK:
		return reply, nil
	case reply.Code == CodeInvalid:
		return reply, &invalid{errors.New(reply.Message)}
	case reply.Code == CodeUnknownItem:
		return reply, fleet.Saying(reply.Message, fleet.ErrNotFound)
	case reply.Code == CodeTooMuch:
		return reply, fleet.Saying(reply.Message, fleet.ErrNotAllowed)
	case reply.Code == CodeFull:
		return reply, fleet.Saying(reply.Message, fleet.ErrFull)
	}
	return reply, fleet.Saying(reply.Message, fleet.ErrNoAnswer)
}
