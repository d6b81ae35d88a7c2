// Package fleet holds the words that the rooms of the shop say to each other:
// an order, the claim that decides who may make it, the ticket by which a
// machine holds it, the event that tells the world, the ledger of the stock and
// the presence of a machine. It also holds the small interfaces by which rooms
// ask for what they need; package queue implements them on JetStream, and only
// cmd/barista joins the two.
//
// The promise that all of this serves: a redelivered, crashed or cut-off order
// never pours twice, never vanishes, and says honestly when the outcome is
// unknown. The rules are those of the claim (see Claim): every change of a
// claim is a compare-and-set, and the queue is only a reminder.
//
// The package reaches the standard library only, starts no goroutine, keeps no
// state, and is the one place where text becomes a subject or a key.
package fleet
