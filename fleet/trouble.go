package fleet

// Trouble is something of the shop itself that a person should look at. One with
// the same code about the same thing is the same. Its Text is always there.
type Trouble struct {
	Reason
	About  string `json:"about,omitempty"`  // a stream, an order
	Closed bool   `json:"closed,omitempty"` // no order is taken because of it
}
