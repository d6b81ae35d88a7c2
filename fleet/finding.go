package fleet

// Finding is something in what a shop has written down that is not as it should be.
type Finding struct {
	Code   string `json:"code"` // one of those below; its sentence stands in package words
	Order  string `json:"order,omitempty"`
	Seq    uint64 `json:"seq,omitempty"` // of the record or the message
	Key    string `json:"key,omitempty"` // of the setting
	Detail string `json:"detail,omitempty"`
	Mended bool   `json:"mended,omitempty"`
	Next   string `json:"next,omitempty"` // what a person types next
}

// The codes of findings, beside CodeLost, CodeOrphan and CodeBookBack of orders in
// doubt.
const (
	FoundUnread      = "record_unread"     // a record of the book counts for nothing
	FoundUnqueued    = "order_unqueued"    // an open order has no message
	FoundMessage     = "message_unread"    // a message in the queue is no order
	FoundAhead       = "events_ahead"      // events are told of records that the book does not have
	FoundSetting     = "setting_unread"    // a setting makes no sense
	FoundSettingLost = "setting_lost"      // a setting is gone, or went back
	FoundOtherStore  = "settings_of_other" // the settings that are kept beside the store are of another one
)

// Setting is one key of the settings as the store has it.
type Setting struct {
	Value []byte `json:"value,omitempty"` // nil: deleted
	Rev   uint64 `json:"rev"`
}
