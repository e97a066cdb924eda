package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// connect dials, joins the room, and starts the reading goroutine.
func (m *member) connect(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if m.conn, err = dial(ctx, m.run.url); err != nil {
		return fmt.Errorf("no connection: %w", err)
	}
	if err := m.join(ctx); err != nil {
		m.Close()
		return err
	}
	m.run.running.Go(m.listen)
	return nil
}

// join joins the room. If the room does not exist, join creates it with the action createChatRoom.
func (m *member) join(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { m.Close() })
	defer stop()
	name, _ := json.Marshal(m.room.name) // the encoding of a string does not fail
	enter := `{"event":"roomAdd","messageId":1,"room":` + string(name) + `}`
	create := `{"event":"action","messageId":1,"params":{"action":"createChatRoom","name":` + string(name) + `}}`

	refusal, err := m.ask(enter)
	if strings.Contains(refusal, errNoRoom) {
		if refusal, err = m.ask(create); err == nil && refusal == "" {
			refusal, err = m.ask(enter)
		}
	}
	switch err := cmp.Or(ctx.Err(), err); {
	case err != nil:
		return fmt.Errorf("room %s: %w", m.room.name, err)
	case strings.Contains(refusal, errNoAction):
		return m.run.noRooms(m.room.name)
	case refusal != "":
		return fmt.Errorf("room %s: the server answers: %s", m.room.name, strings.TrimPrefix(refusal, "Error: "))
	}
	return nil
}

// ask sends a request and waits for the answer. refusal is the error in the answer; "" for none.
func (m *member) ask(request string) (refusal string, err error) {
	if err := m.write(opText, []byte(request)); err != nil {
		return "", err
	}
	for {
		op, payload, ok, err := m.next()
		switch {
		case err != nil:
			return "", err
		case !ok:
			if err := m.fill(); err != nil {
				return "", err
			}
		case op == opPing:
			if err := m.write(opPong, payload); err != nil {
				return "", err
			}
		case op == opClose:
			return "", fmt.Errorf("the server closed: %s", closeReason(payload))
		default:
			if a, ok := answerOf(payload); ok {
				return a.Error, nil
			}
		}
	}
}

// answer is the answer of a server to a request.
type answer struct {
	Context string `json:"context"`
	Error   string `json:"error"`
}

// answerOf parses the answer in a frame. ok is false if the frame is not an answer.
func answerOf(payload []byte) (a answer, ok bool) {
	err := json.Unmarshal(payload, &a)
	return a, err == nil && a.Context == "response"
}

// Errors of the server for which a bench has advice.
const (
	errNoRoom   = "room does not exist"
	errNoAction = "unknown action"
	errLimited  = "rate limit exceeded"
)

// noRooms returns the error for missing rooms, with advice.
func (r *run) noRooms(missing string) error {
	rooms := r.o.room(0)
	if r.o.Rooms > 1 {
		rooms += " to " + r.o.room(r.o.Rooms-1)
	}
	return fmt.Errorf("room %s does not exist, and clients may not create rooms here. Allow it, and raise the limit of verbs:\n"+
		"  moot serve --set tenants.default.rooms.clientsMayCreate=true --set limits.verbsPerSecond=1000000\n"+
		"or list %s in tenants.default.rooms.starting", missing, rooms)
}

// tooFast returns the error for a reached rate limit of the server, with advice.
func tooFast() error {
	return fmt.Errorf("the server answers %q: limits.verbsPerSecond bounds the requests of one connection. Raise it:\n"+
		"  moot serve --set limits.verbsPerSecond=1000000\n"+
		"or send less: a lower --rate, or more --senders", errLimited)
}
