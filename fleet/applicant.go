package fleet

import "time"

// Applicant is a computer that has made its key and asks to become a member of the
// shop. Until an operator accepts it, it has no right at all. What it says of itself is
// text from outside.
type Applicant struct {
	ID    string    `json:"id"`    // of the application, a token
	Kind  string    `json:"kind"`  // what it wants to be: "machine", "operator" …
	Name  string    `json:"name"`  // as it was invited
	Key   string    `json:"key"`   // public key; the same is shown at the computer itself
	From  string    `json:"from"`  // the address that asked, as the broker saw it; "" where nobody knows
	About string    `json:"about"` // what it says of itself, such as "Raspberry Pi 5, host zoe"
	Asked time.Time `json:"asked"`
}

// Invitation is what an operator hands on.
type Invitation struct {
	Code  string    `json:"code"` // as somebody types it
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
	Known bool      `json:"known,omitempty"` // there is one of that name, whose key is replaced
}

// Member is who has a key of the shop, and by it the rights of its kind.
type Member struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	Key   string    `json:"key"` // public
	By    string    `json:"by"`  // who accepted it; "" for the shop's own
	Since time.Time `json:"since"`
	Here  bool      `json:"here"` // connected now, where that is known
	Own   bool      `json:"own"`  // the shop's own part, which nobody revokes on a page
}
