package engine

import "time"

// deadline is the time at which a connection is closed, and the reason.
// Connection.mu guards it. The zero deadline means that there is none.
type deadline struct {
	at    time.Time
	why   Close
	timer *time.Timer // nil until the first deadline
}

// setDeadline replaces the deadline: the connection is closed at that time.
func (c *Connection) setDeadline(at time.Time, why Close) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &c.deadline
	d.at, d.why = at, why
	if d.timer == nil {
		d.timer = time.AfterFunc(time.Until(at), c.expire)
	} else {
		d.timer.Reset(time.Until(at))
	}
}

func (c *Connection) clearDeadline() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.timer != nil {
		c.deadline.timer.Stop()
	}
	c.deadline = deadline{}
}

// expire closes the connection, unless its deadline has changed since the timer fired or
// the clock was set back.
func (c *Connection) expire() {
	c.mu.Lock()
	d := c.deadline
	left := time.Until(d.at)
	if d.timer != nil && left > 0 {
		d.timer.Reset(left)
	}
	c.mu.Unlock()
	if d.timer != nil && left <= 0 {
		c.Close(d.why)
	}
}
