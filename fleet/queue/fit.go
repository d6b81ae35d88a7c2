package queue

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

// The figures of a stream that must be as the shop wants them, by the client's
// names. Sizes follow the shop and change at a start only: two shops with different
// ones must not take turns.
var (
	sizes   = []string{"MaxBytes", "MaxMsgs", "MaxMsgSize"}
	figures = []string{"Subjects", "Discard", "MaxAge", "MaxMsgsPerSubject", "Duplicates", "AllowDirect", "AllowRollup", "RePublish",
		"DenyDelete", "DenyPurge", "AllowMsgTTL", "SubjectDeleteMarkerTTL", "Replicas"}
	fixed  = []string{"Retention", "Storage", "PersistMode"}    // once the stream is there
	oneWay = []string{"DenyDelete", "DenyPurge", "AllowMsgTTL"} // they go on and never off
)

// fit is how a stream comes to be what the shop wants.
type fit struct {
	cfg     jetstream.StreamConfig
	changes []difference
	stuck   []difference // what can't be changed
}

// fitted compares a stream with what it is to be. It never becomes smaller than
// what it holds and a quarter, so that it is not full at once.
func fitted(want, have jetstream.StreamConfig, held jetstream.StreamState, resize bool) fit {
	switch want.Name {
	case fleet.StreamOrders:
		want.Subjects = have.Subjects // List looks after them
	case fleet.StreamEvents:
		want.PersistMode = have.PersistMode // the former layout's stays until Forget
	}
	want.Replicas = max(want.Replicas, have.Replicas) // a server that is away is no reason to keep less
	if alone(have) {
		want.Replicas = have.Replicas
	}
	want.MaxBytes = shrunk(want.MaxBytes, have.MaxBytes, int64(held.Bytes+held.Bytes/4))
	want.MaxMsgs = shrunk(want.MaxMsgs, have.MaxMsgs, int64(held.Msgs))
	f := fit{cfg: have, stuck: differences(want, have, fixed...)}
	may := figures
	if resize {
		may = slices.Concat(sizes, figures)
	}
	to, from := reflect.ValueOf(&f.cfg).Elem(), reflect.ValueOf(want)
	for _, d := range differences(want, have, may...) {
		if slices.Contains(oneWay, d.name) && from.FieldByName(d.name).IsZero() {
			f.stuck = append(f.stuck, d)
			continue
		}
		f.changes = append(f.changes, d)
		to.FieldByName(d.name).Set(from.FieldByName(d.name))
	}
	return f
}

// alone reports whether a stream can't be kept by more servers than one: the broker
// allows no persistence without a sync on more, and changes neither into the other.
func alone(have jetstream.StreamConfig) bool { return have.PersistMode == jetstream.AsyncPersistMode }

// shrunk is a limit that comes down to what is wanted, but not below what is used;
// beyond what it was it goes only to what is wanted. 0 and less is no limit.
func shrunk(want, have, used int64) int64 {
	if want <= 0 {
		return want
	}
	if have > 0 {
		used = min(used, have)
	}
	return max(want, used)
}

// config reads a stream's configuration out of its file.
func config(f fleet.StreamFile) (cfg jetstream.StreamConfig, err error) {
	return cfg, json.Unmarshal(f.Config, &cfg)
}

// difference is a figure that is not as it should be.
type difference struct{ name, is, wanted string }

func (d difference) String() string { return d.name + " " + d.is + ", wanted " + d.wanted }

// differences compares the named fields of two configurations.
func differences[T any](want, have T, fields ...string) []difference {
	var out []difference
	w, h := reflect.ValueOf(want), reflect.ValueOf(have)
	for _, f := range fields {
		a, b := w.FieldByName(f), h.FieldByName(f)
		if a.IsZero() && b.IsZero() || reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		out = append(out, difference{f, show(f, b.Interface()), show(f, a.Interface())})
	}
	return out
}

// show is a figure as a person reads it.
func show(name string, v any) string {
	switch v := v.(type) {
	case time.Duration:
		return v.String()
	case int64:
		if name == "MaxBytes" && v > 0 {
			return fmt.Sprintf("%.1f MiB", float64(v)/(1<<20))
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
