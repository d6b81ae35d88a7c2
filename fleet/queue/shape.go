package queue

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"barista/fleet"
)

const day = 24 * time.Hour

// sized is room for so many KiB of each order, kept for so many days.
func (c *Conn) sized(kib, days int, least int64) int64 {
	perDay := c.cfg.OrdersPerDay
	if perDay == 0 {
		perDay = 500
	}
	return max(least, int64(perDay)*int64(days)*int64(kib)<<10)
}

// onDisk are the streams that reserve room on disk, in a shop of so many orders a
// day.
func onDisk(ordersPerDay int) []jetstream.StreamConfig {
	c := &Conn{cfg: Config{OrdersPerDay: ordersPerDay}}
	return slices.DeleteFunc(c.streams([]fleet.Class{{Bean: "x", Milk: "x"}}), func(s jetstream.StreamConfig) bool { return s.Storage != jetstream.FileStorage })
}

// StreamNames are the streams that a shop keeps on disk: it makes them where they
// are not.
func StreamNames() []string {
	names := []string{"KV_" + fleet.BucketValues}
	for _, s := range onDisk(0) {
		names = append(names, s.Name)
	}
	return names
}

// StoreNeeded is how many bytes of disk the streams reserve.
func StoreNeeded(ordersPerDay int) (sum int64) {
	for _, s := range onDisk(ordersPerDay) {
		sum += s.MaxBytes
	}
	return sum
}

// StoreBound is what the broker may let streams reserve in all: for each the larger
// of what it has and what it is to get, what others have, and a quarter more. A
// broker that holds more than its bound refuses every change, a smaller size too.
func StoreBound(ordersPerDay int, there []fleet.StreamFile) int64 {
	reserve := map[string]int64{}
	for _, s := range onDisk(ordersPerDay) {
		reserve[s.Name] = s.MaxBytes
	}
	for _, f := range there {
		if have, err := config(f); err == nil && have.Storage == jetstream.FileStorage {
			reserve[f.Name] = max(reserve[f.Name], have.MaxBytes, f.Held)
		}
	}
	var sum int64
	for _, n := range reserve {
		sum += n
	}
	return sum + sum/4
}

// Changes says in words what the next start changes at the streams that are there.
func Changes(ordersPerDay int, there []fleet.StreamFile) (out []string) {
	if len(there) == 0 {
		return nil
	}
	for _, want := range onDisk(ordersPerDay) {
		i := slices.IndexFunc(there, func(f fleet.StreamFile) bool { return f.Name == want.Name })
		if i < 0 {
			out = append(out, fmt.Sprintf("%s is made, with room for %s", want.Name, show("MaxBytes", want.MaxBytes)))
			continue
		}
		f, err := fittedFile(want, there[i])
		if err != nil || len(f.stuck) > 0 {
			continue // the start itself says it
		}
		for _, d := range f.changes {
			out = append(out, fmt.Sprintf("%s: %s was %s and becomes %s", want.Name, d.name, d.is, d.wanted))
		}
	}
	return out
}

// Stuck are the reasons for which the next start would be refused: streams that can't
// become what they must be.
func Stuck(ordersPerDay int, there []fleet.StreamFile) (why []error) {
	for _, want := range onDisk(ordersPerDay) {
		for _, file := range there {
			if file.Name != want.Name {
				continue
			}
			if f, err := fittedFile(want, file); err == nil && len(f.stuck) > 0 {
				why = append(why, f.refused(want.Name))
			}
		}
	}
	return why
}

// fittedFile is fitted of a stream that lies in a store's folder.
func fittedFile(want jetstream.StreamConfig, file fleet.StreamFile) (fit, error) {
	have, err := config(file)
	return fitted(want, have, jetstream.StreamState{Bytes: uint64(file.Held)}, true), err
}

// streams are the shop's streams; buckets are streams too. The bucket of the
// article's programs is not among them, see values.
func (c *Conn) streams(classes []fleet.Class) []jetstream.StreamConfig {
	var subjects []string
	for _, class := range classes {
		subjects = append(subjects, fleet.OrderSubject(class))
	}
	slices.Sort(subjects)
	stream := func(name string, subjects []string, maxBytes int64) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Subjects: subjects, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
			MaxBytes: maxBytes, MaxMsgs: -1, MaxMsgSize: 64 << 10, MaxMsgsPerSubject: -1, MaxConsumers: -1,
			Duplicates: 2 * time.Minute, Replicas: c.state.copies(),
		}
	}
	work := func(name string, subjects []string) jetstream.StreamConfig {
		s := stream(name, subjects, 8<<20)
		s.Retention, s.MaxMsgs, s.MaxMsgSize, s.Duplicates = jetstream.WorkQueuePolicy, fleet.QueueMax, 8<<10, 15*time.Minute
		return s
	}
	intake := work(fleet.StreamIntake, []string{"coffee.orders.*"})
	intake.DenyPurge = true
	orders := work(fleet.StreamOrders, subjects)
	// How many orders may wait the controller counts, in the book. Here messages
	// of ended orders stand too until they are removed, and must not keep an
	// accepted one out.
	orders.MaxMsgs = 2 * fleet.QueueMax
	orders.DenyPurge = true

	// Three records an order of 1.1 KiB each, headers included, kept 30 days; times
	// two, because here nothing goes by itself.
	book := stream(fleet.StreamBook, []string{wholeBook}, c.sized(7, 30, 32<<20))
	book.DenyDelete = true
	book.AllowRollup = true   // of refusals, one record of which is enough
	book.AllowDirect = false  // "no such order" is believed from the leader only
	book.MaxMsgSize = 1 << 20 // a balance names every order that is not over

	events := stream(fleet.StreamEvents, []string{"coffee.events.>"}, c.sized(2, 90, 32<<20))
	events.MaxAge, events.Discard, events.MaxMsgSize, events.AllowDirect, events.DenyPurge = 90*day, jetstream.DiscardOld, 16<<10, true, true
	if !c.state.clustered() { // the broker refuses it with replicas, and to change it afterwards
		events.PersistMode = jetstream.AsyncPersistMode // told from the book, and after a crash told again
	}

	bucket := func(name string, storage jetstream.StorageType, maxBytes int64) jetstream.StreamConfig {
		s := stream("KV_"+name, []string{"$KV." + name + ".>"}, maxBytes)
		s.Storage, s.MaxMsgSize, s.MaxMsgsPerSubject = storage, -1, 1
		s.AllowRollup, s.DenyDelete, s.AllowDirect = true, true, true
		return s
	}
	machines := bucket(fleet.BucketMachines, jetstream.MemoryStorage, 1<<20)
	// Each word says by itself how long it counts, mostly fleet.PresenceTTL.
	machines.MaxAge, machines.Duplicates = fleet.PresenceMost, fleet.PresenceTTL
	machines.AllowMsgTTL, machines.SubjectDeleteMarkerTTL = true, time.Hour
	return []jetstream.StreamConfig{
		intake, orders, book, events, machines,
		bucket(fleet.BucketSettings, jetstream.FileStorage, 4<<20), bucket(fleet.BucketStock, jetstream.MemoryStorage, 1<<20),
	}
}
