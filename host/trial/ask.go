package trial

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/host"
)

// Reply is the answer of an external service.
type Reply struct {
	Status int    `json:"status,omitempty" yaml:"status,omitempty"` // of HTTP; 0: 200
	JSON   JSON   `json:"json,omitempty" yaml:"json,omitempty"`     // the body
	Error  string `json:"error,omitempty" yaml:"error,omitempty"`   // an [ask.Kind], if there is no answer
	Busy   int64  `json:"busy,omitempty" yaml:"busy,omitempty"`     // ms, if a limit refuses the question
}

// Asked is a question to an external service, with its answer.
type Asked struct {
	Ask   string `json:"ask" yaml:"ask"` // its name
	Body  JSON   `json:"body,omitempty" yaml:"body,omitempty"`
	Reply `yaml:",inline"`
}

func askedOf(c *host.AskCall) Asked {
	return Asked{c.Name, JSON(c.Body), Reply{c.Status, JSON(c.Answer), string(c.Failure), c.Busy.Milliseconds()}}
}

// service answers the asks of a module from its event, or from a recording.
type service struct {
	m    *Module
	name string
}

var errNoReply = errors.New("the event has no answer to this ask: add it to answers")

// Ask implements [ask.Service].
func (s service) Ask(_ context.Context, body []byte) (ask.Answer, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	reply, ok := s.m.answers[s.name]
	if s.m.replay != nil && !s.m.replay.live {
		reply, ok = s.m.replay.reply(s.name, body)
	}
	switch {
	case !ok:
		return ask.Answer{}, &ask.Failure{Kind: ask.Unreachable, Err: errNoReply}
	case reply.Busy > 0:
		return ask.Answer{}, &ask.BusyError{Wait: time.Duration(reply.Busy) * time.Millisecond}
	case reply.Error != "":
		return ask.Answer{}, &ask.Failure{Kind: ask.Kind(reply.Error)}
	case reply.Status == 0:
		reply.Status = 200
	}
	return ask.Answer{Status: reply.Status, Body: json.RawMessage(reply.JSON)}, nil
}
