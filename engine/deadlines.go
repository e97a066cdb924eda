package engine

import "time"

// deadline is when a connection is closed and why, under Connection.mu. The zero
// deadline is none.
type deadline struct {
	at    time.Time
	why   Close
	timer *time.Timer // nil until the first deadline
}

// setDeadline has the connection closed at a time, in place of one set before.
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

// expire closes the connection, unless its deadline was changed since the timer fired
// or the clock was set back.
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
