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
// One meaning for each word, in the whole repository:
//
//   - order: what a customer wants, decoded and in canonical form. Its id is for
//     ever.
//   - claim: the record that decides what becomes of an order and who may make it.
//   - ticket: a delivery of the queue, held by one worker. It reminds of a claim
//     and is no right.
//   - epoch: one try to make an order. A machine that begins knows its epoch, and
//     two machines never begin the same.
//   - use: one reservation of an order in the stock; a remake opens the next.
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
