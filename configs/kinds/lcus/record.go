package lcus

import "barista/configs/kinds"

// record asks nothing.
var record = kinds.Record{Says: "An LCUS board says nothing of itself."}
