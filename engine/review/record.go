package review

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Encode returns the item as JSON without its Tenant, for stores; nil if a raw part such as Extra is not valid JSON.
func (i *Item) Encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)  // Extra must stay as it is
	if e.Encode(i) != nil { // Extra or another raw part is not JSON
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode parses the result of [Item.Encode]. It ignores fields of newer versions.
func Decode(tenant string, data []byte) (Item, error) {
	one := Item{Tenant: tenant}
	if err := json.Unmarshal(data, &one); err != nil {
		return one, fmt.Errorf("item of the review queue: %w", err)
	}
	if err := one.Validate(); err != nil {
		return one, fmt.Errorf("item of the review queue: %w", err)
	}
	return one, nil
}
