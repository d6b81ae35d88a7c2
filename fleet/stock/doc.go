// Package stock keeps the books of the shop: how much of each bean, milk and
// sugar is on hand, and how much of it is promised to orders that are not made
// yet. The truth is the book; everything here is a fold of it and can be thrown
// away and made again.
//
// # What it promises
//
// Per item, on hand = refills − consumed − wasted, from the book alone; on hand is
// never below zero. What an order has of the shelf follows from its claim (see
// fleet.Claim.Portions): its portion is promised while it waits and is made, used
// when it was served or nobody knows, wasted when it was spoiled, and given back
// when nothing was taken. So no reservation outlives its order, and nothing is
// booked by anybody's call. An order takes from the shelf with all of its items or
// is not written at all: that is decided where the order is made, on this fold.
//
// # Two at a time
//
// A person's act is written behind the last act that it was decided on; see
// fleet.Ledger. So two stock services on one book are both right, and an act that
// was stored without an answer is found and not repeated.
//
// # What is not there
//
// A drink can't have used what was not there. An end that asks for more than is
// on hand takes what there is: either the books or the doses were wrong before,
// and a count will show it. A count is the physical truth: it sets what is on hand
// and books the difference as refilled or wasted. An unknown drink that is found
// to be not made moves what is on hand only if nobody counted in between; else the
// difference goes where the count had put it, to wasted.
//
// # Who runs it
//
// A Shelf belongs to a ledger, which hands it the records of the book in order. New
// starts nothing. Run fills an empty shelf, answers on coffee.stock.* and writes
// the snapshot for readers; it returns when all of that has ended. Package stock
// must never wait for a machine, and nobody waits for it in the middle of a drink.
package stock
