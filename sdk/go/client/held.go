package client

import (
	"context"
	"encoding/json"
	"time"
)

// heldMessage is a held message as the server sends it.
type heldMessage struct {
	Held, Room, Outcome, Reason, ID string
	Message                         json.RawMessage
	SentAt, HeldAt, Until           int64
}

func (h *heldMessage) public() HeldMessage {
	m := HeldMessage{Outcome: Outcome{h.Held, h.Room, h.Outcome, h.Reason, h.ID}, Message: h.Message, SentAt: time.UnixMilli(h.SentAt), HeldAt: time.UnixMilli(h.HeldAt)}
	if h.Until != 0 {
		m.Until = time.UnixMilli(h.Until)
	}
	return m
}

// HeldMessages returns a page of the messages of this client or its user that wait for a decision. A
// limit of 0 means 50; the maximum is 100.
func (c *Client) HeldMessages(ctx context.Context, p Page) (HeldPage, error) {
	var data struct {
		Held   []heldMessage
		Cursor string
	}
	err := c.query(ctx, &data, request{Event: "heldView", Limit: p.Limit, Cursor: p.Cursor})
	page := HeldPage{Cursor: data.Cursor}
	for i := range data.Held {
		page.Held = append(page.Held, data.Held[i].public())
	}
	return page, err
}

// HeldMessage returns a message of this client or its user that a rule holds or has held.
func (c *Client) HeldMessage(ctx context.Context, held string) (HeldMessage, error) {
	var data heldMessage
	err := c.query(ctx, &data, request{Event: "heldView", Held: held})
	return data.public(), err
}

// Withdraw withdraws a held message of this client or its user. After a decision it returns a
// *VerbError.
func (c *Client) Withdraw(ctx context.Context, held string) error {
	_, err := c.do(ctx, call{retry: retryNever, request: func() request { return request{Event: "heldWithdraw", Held: held} }})
	return err
}
