// Package fleet holds the words that the rooms of the shop say to each other:
// an order, the claim that decides who may make it, the book in which claims and
// the acts of the stock stand, the ticket by which a machine holds an order, the
// desk that it asks, the event that tells the world and the presence of a machine. It also holds the small interfaces by which rooms
// ask for what they need; package queue implements them on JetStream, and only
// cmd/barista joins the two.
//
// The promise that all of this serves: a redelivered, crashed or cut-off order
// never pours twice, never vanishes, and says honestly when the outcome is
// unknown. The rules are those of the claim (see Claim): every change of a
// claim is a compare-and-set, and the queue is only a reminder.
//
// One meaning for each word, in the whole repository:
//
//   - order: what a customer wants, decoded and in canonical form. Its id is for
//     ever.
//   - book: the one store of the truth, a list of records that is synced at each.
//   - claim: the last record of an order in the book; it decides what becomes of it
//     and who may make it.
//   - act: a record that may lower what the shelf has, or makes an order; of those
//     only one can follow another. All else of an order is a state.
//   - ledger: the book as one process knows it, followed and folded once.
//   - shelf: what is on hand and promised, a fold of the book.
//   - desk: where machines ask; it writes into the book on what they had read.
//   - ticket: a delivery of the queue, held by one worker. It reminds of a claim
//     and is no right.
//   - epoch: one try to make an order. A machine that begins knows its epoch, and
//     two machines never begin the same.
//   - portion: what one try of an order takes from the shelf.
//   - plan: what a machine is, as data from its file, before anything is opened.
//   - kind: how a machine is wired and spoken to: mock, gpio, modbus, lcus, jura.
//   - part: what is switched, such as the grinder or the pump.
//   - signal: what is sensed, such as the tank's level or a cup.
//   - fault: why a machine stopped by itself, as a code with figures; sentences
//     are made from it where a person reads them.
//
// The package reaches the standard library only, starts no goroutine, keeps no
// state, and is the one place where text becomes a subject or a key.
package fleet
