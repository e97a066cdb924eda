package wire

// Verb is a row of [Verbs].
type Verb struct {
	Name string

	// Price is the charge for the verb against the rate limit of its connection
	// (limits.verbsPerSecond), in verbs. The engine charges less for a roomAdd to a
	// room that the connection is in, and never more than the limit's burst.
	Price float64

	// Group is the name under which several verbs are counted together; "" means Name.
	Group string

	// Listed selects the connections for which the verb documentation lists the verb.
	Listed Listed

	// Fields are the fields of a JSON request that ActionHero does not have.
	Fields []Field

	structured bool // the member message may be an object or an array
	targets    bool // in a line, the first word after the room is the id of a message

	argument field // takes the first word of a line; noField: the words are a room and a text
	pair     int   // number of words that are a name and a value: 0, 1 or 2
}

// Field is a field of a verb's JSON request.
type Field struct {
	Name   string
	kind   field
	secret bool // errors do not return it
}

// Listed selects connections.
type Listed uint8

// The connections for which a verb is listed.
const (
	Always       Listed = iota
	WithTokens          // the tenant has tokens
	WithSessions        // the connection has a session
	WithReview          // the node keeps held messages and reports
	OnSocket            // the transport is the socket; on others the verb does not exist
)

// Verbs are the commands of clients, in the order of the verb documentation. Do not
// change the table. The engine has a function for each verb except action, quit and
// exit, which it handles separately.
var Verbs = [...]Verb{
	{Name: "roomAdd", Price: 1, Fields: []Field{{Name: "since", kind: sinceField}, {Name: "presence", kind: presenceField},
		{Name: "moderation", kind: moderationField}, {Name: "amendments", kind: amendmentsField}}},
	{Name: "roomLeave", Price: 1},
	{Name: "roomView", Price: 1, Fields: []Field{{Name: "limit", kind: limitField}, {Name: "cursor", kind: cursorField}}},
	{Name: "roomHistory", Price: 1, Fields: []Field{{Name: "limit", kind: limitField}, {Name: "before", kind: beforeField}}},
	{Name: "say", Price: 1, structured: true, Fields: []Field{{Name: "key", kind: keyField}}},
	{Name: "heldView", Price: 1, Listed: WithReview, argument: heldField,
		Fields: []Field{{Name: "held", kind: heldField}, {Name: "limit", kind: limitField}, {Name: "cursor", kind: cursorField}}},
	{Name: "heldWithdraw", Price: 1, Listed: WithReview, argument: heldField, Fields: []Field{{Name: "held", kind: heldField}}},
	{Name: "retract", Price: 2, targets: true, Fields: []Field{{Name: "id", kind: targetField}}}, // the message is looked up in history
	{Name: "edit", Price: 2, targets: true, structured: true, Fields: []Field{{Name: "id", kind: targetField}}},
	{Name: "report", Price: 10, Listed: WithReview, targets: true, // the message is looked up in history
		Fields: []Field{{Name: "id", kind: targetField}, {Name: "user", kind: userField}, {Name: "reason", kind: reasonField}, {Name: "notify", kind: notifyField}}},
	{Name: "detailsView", Price: 0.1}, // ActionHero's client sends it repeatedly
	{Name: "documentation", Price: 1},
	{Name: "quit", Price: 1},
	{Name: "exit", Price: 1},
	{Name: actionVerb, Price: 1},
	{Name: "auth", Price: 10, Listed: WithTokens, argument: tokenField, // a signature is verified
		Fields: []Field{{Name: "token", kind: tokenField, secret: true}}},
	{Name: "resume", Price: 1, Listed: WithSessions, argument: sessionField,
		Fields: []Field{{Name: "session", kind: sessionField, secret: true}, {Name: "since", kind: sincesField}}},
	{Name: "paramAdd", Price: 0.1, Group: params, Listed: OnSocket, pair: 2},
	{Name: "paramDelete", Price: 0.1, Group: params, Listed: OnSocket, pair: 1},
	{Name: "paramView", Price: 0.1, Group: params, Listed: OnSocket, pair: 1},
	{Name: "paramsView", Price: 0.1, Group: params, Listed: OnSocket},
	{Name: "paramsDelete", Price: 0.1, Group: params, Listed: OnSocket},
}

const (
	actionVerb = "action"
	params     = "params" // the group of the verbs of parameters
)

// FindVerb returns the verb of that name, nil if there is none.
func FindVerb(name string) *Verb {
	for i := range Verbs {
		if Verbs[i].Name == name {
			return &Verbs[i]
		}
	}
	return nil
}

// Counted returns the name under which the verb is counted.
func (v *Verb) Counted() string {
	if v.Group != "" {
		return v.Group
	}
	return v.Name
}
