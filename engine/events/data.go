package events

import "encoding/json"

// Member is the data of MemberJoined and MemberLeft.
type Member struct {
	Room       string `json:"room"`
	Connection string `json:"connection"`
	User       string `json:"user,omitempty"`
	Cause      string `json:"cause,omitempty"` // why a member left: roomLeave, disconnect, destroyed, removed, node_lost; of a join: rejoined
}

// Room is the data of RoomCreated and RoomDestroyed.
type Room struct {
	Room string `json:"room"`
}

// Sanction is the data of SanctionSet and SanctionRemoved. A removed one has ID and By alone.
type Sanction struct {
	ID      string `json:"id"`
	User    string `json:"user,omitempty"`
	Address string `json:"address,omitempty"` // a network, if the sanction has no user
	Kind    string `json:"kind,omitempty"`    // mute, shadow or ban
	Rooms   string `json:"rooms,omitempty"`   // pattern of room names; *: all rooms
	Until   int64  `json:"until,omitempty"`   // ms since 1970; absent: no end
	Reason  string `json:"reason,omitempty"`
	Note    string `json:"note,omitempty"`
	By      string `json:"by,omitempty"`     // name of the key of the person
	Module  string `json:"module,omitempty"` // name of the module
}

// Held is the data of MessageHeld and MessageDecided. It has no text of the message: the server API has it by the id.
type Held struct {
	Held       string `json:"held"` // id of the held message
	Room       string `json:"room"` // in which the author has said it
	Connection string `json:"connection"`
	User       string `json:"user,omitempty"`
	Rule       string `json:"rule,omitempty"`      // module@sha#revision
	Reason     string `json:"reason,omitempty"`    // of the rule; of a decision: for the author
	Until      int64  `json:"until,omitempty"`     // when it expires, ms since 1970
	Outcome    string `json:"outcome,omitempty"`   // of a decision: released, rejected, withdrawn or expired
	By         string `json:"by,omitempty"`        // name of the key of the person who decided
	MessageID  string `json:"messageId,omitempty"` // of a released message
}

// Amended is the data of MessageRetracted and MessageEdited.
type Amended struct {
	MessageID string `json:"messageId"`
	Room      string `json:"room"`
	User      string `json:"user,omitempty"`   // the author, if the author did it
	By        string `json:"by,omitempty"`     // name of the key of the person who did it; absent: the author or a module
	Module    string `json:"module,omitempty"` // name of the module that did it
}

// Message is the data of MessagePublished: the message after onSayReceive.
type Message struct {
	MessageID string          `json:"messageId"`
	Room      string          `json:"room"`
	From      string          `json:"from"` // id of the connection; 0: the server
	User      string          `json:"user,omitempty"`
	Message   json.RawMessage `json:"message"` // a string, or the JSON of the message
	SentAt    int64           `json:"sentAt"`  // ms since 1970
}

// Report is the data of ReportFiled and ReportResolved. It has neither the text of the message nor the reporters: the server API returns
// them by the id.
type Report struct {
	Report     string `json:"report"` // id of the report
	Room       string `json:"room,omitempty"`
	MessageID  string `json:"messageId,omitempty"`  // of the reported message; absent: the report is of a user
	Connection string `json:"connection,omitempty"` // of the author
	User       string `json:"user,omitempty"`       // the author, or the reported user
	Reports    int    `json:"reports"`              // number of reporters up to now
	Reason     string `json:"reason,omitempty"`     // of the reporter; of a resolved report: for the reporters
	Outcome    string `json:"outcome,omitempty"`    // of a resolved report: dismissed, retracted, sanctioned or expired
	By         string `json:"by,omitempty"`         // name of the key of the person who resolved it
}

// Decision is the data of RuleDecided: the answer of one rule to one event of the chat or, at say, for some of the receivers of a message.
type Decision struct {
	Hook       string `json:"hook"`
	Room       string `json:"room,omitempty"`
	Connection string `json:"connection,omitempty"` // that joins, leaves, says something or acts; absent: none, as at say
	User       string `json:"user,omitempty"`
	Rule       string `json:"rule"`                // module@sha#revision
	Verdict    string `json:"verdict"`             // deny, drop, rewrite, hold or error
	Reason     string `json:"reason,omitempty"`    // of the rule, or the kind of the error
	Code       uint32 `json:"code,omitempty"`      // of a deny: a number that the rule defines
	Receivers  int    `json:"receivers,omitempty"` // at say
}

// Ping is the data of Test.
type Ping struct {
	By string `json:"by,omitempty"` // name of the key that asked for it
}
