// Package stock keeps the books of the shop: how much of each bean, milk and
// sugar is on hand, and how much of it is promised to orders that are not made
// yet. The truth is the ledger, a list of acts; everything here is a fold of it
// and can be thrown away and made again.
//
// # What it promises
//
// Per item, on hand = refills − consumed − wasted, from the ledger alone; on
// hand is never below zero. Each use of an order (see fleet.Claim) is reserved
// at most once and ends once, however often it is asked; a use that has ended
// is never reserved again. An order is reserved with all of its items or with
// none. The end of a use is booked from the claim alone, without anybody's
// call, so no reservation outlives its order.
//
// # Two at a time
//
// Each act is appended behind the sequence that the decision was made on. If
// somebody was faster, or no answer came, the ledger is read on and the
// decision made anew. So two stock services on one ledger are both right, and
// an act that was stored without an answer is found and not repeated.
//
// # What is not there
//
// A drink can't have used what was not there. An end that asks for more than is
// on hand takes what there is, and its entry says so in its note: either the
// books or the doses were wrong before, and a count will show it. A count is
// the physical truth: it sets what is on hand and books the difference as
// refilled or wasted. An end that is corrected later (an unknown drink was
// booked as consumed and is then found to be not made) moves what is on hand
// only if nobody counted in between; else the difference goes where the count
// had put it, to wasted or refilled.
//
// # Who runs it
//
// New starts nothing. Run follows the claims, answers on coffee.stock.* and
// writes the snapshot for readers; it returns when all of that has ended. The
// methods of fleet.Stock work with and without Run. Package stock must never
// wait for a machine, and nobody waits for it in the middle of a drink.
package stock
