package fleet

// Reason says why, as data. Whoever shows it makes the sentence, for its reader
// and in his language (package words); nobody reads it back out of a text.
type Reason struct {
	Code   string `json:"code,omitempty"`   // a stable word: a machine's, or one of those below and of Answer
	Detail string `json:"detail,omitempty"` // figures and names, the same in every language
	Quote  string `json:"quote,omitempty"`  // words from elsewhere as they came: a driver's error, a person's reason
	// Text is the whole in English, for foreign readers. A record from before there
	// were codes has nothing else.
	Text string `json:"reason,omitempty"`
}

// The codes of the shop's own reasons, beside those of an Answer.
const (
	CodeGivenUp   = "given_up"    // every try came to nothing
	CodeExpired   = "expired"     // waited too long
	CodeCancelled = "cancelled"   // by a customer or a person
	CodeSettled   = "settled"     // a person said what came of it
	CodeSaid      = "said"        // its customer said what came of it
	CodeUnwanted  = "unwanted"    // its customer stopped it while it was made
	CodeNotInHand = "not_in_hand" // its machine does not have it any more
	CodeNoRecord  = "no_record"   // its machine has no record of it
	CodeBookBack  = "book_back"   // its machine began it, and the book does not know
	CodeNotHeard  = "not_heard"   // its machine was not heard of since it began
	CodeLost      = "record_lost" // the book lost what came last of it
	CodeBookLost  = "lost"        // the book went back, or lost records: what became of it may be among them
	CodeOrphan    = "orphan"      // the book lost it; its message shows that it was accepted
	CodeCordoned  = "cordoned"    // a person took the machine out of service
	CodeDrained   = "drained"     // so that it could be opened, and now it can
	CodeLeaving   = "leaving"     // its service stops
	CodeUnsynced  = "unsynced"    // an outcome is not confirmed yet
	CodeTwin      = "twin"        // another process works under the machine's name
	CodeRival     = "rival"       // another process asked to, and was refused
	CodeRevoked   = "revoked"     // its machine's key was taken away meanwhile

	// Of a Wait: what keeps the shop, or a machine, from taking an order now.
	CodeOpening  = "opening"    // the shop has just started
	CodeShut     = "shut"       // its records are being looked at
	CodeSilent   = "silent"     // no controller answers
	CodeAway     = "away"       // no machine that makes it is here
	CodeStarting = "starting"   // its machine is
	CodeHandless = "needs_hand" // its machine waits for a person, and does not say why

	// Of a Trouble.
	CodeStoreFull   = "store_full"   // only what orders need that are there is still written
	CodeStoreFills  = "store_fills"  // it will be soon
	CodeStreams     = "streams"      // a stream or queue is not as it should be
	CodeServersAway = "servers_away" // so many of the broker's servers that nothing can be written
	CodeNoLeader    = "no_leader"    // the broker's servers are there and do not agree on one
	CodeHubAway     = "hub_away"     // of this site; it serves on
	CodeNoDesk      = "no_desk"      // machines can't ask for anything
	CodePassedOver  = "passed_over"  // an order waits beside a machine that is ready and makes it
)
