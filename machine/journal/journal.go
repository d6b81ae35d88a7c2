package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"barista/driver/guard"
)

const (
	compactAt = 1 << 20 // bytes; a journal above this is compacted when it is opened
	keep      = 10_000  // drinks that compaction keeps
)

// What a caller must tell apart.
var (
	// ErrLocked: another process has the journal open.
	ErrLocked = errors.New("another process has this journal open: only one barista may run this machine")
	// ErrBroken: a write or an fsync failed. Nobody knows what is on disk; the
	// journal refuses everything until it is opened anew.
	ErrBroken = errors.New("the journal can't be written")
	// ErrDamaged: a person must accept the damage first (AcceptDamage).
	ErrDamaged = errors.New("the journal before this one was damaged, and nobody accepted that yet")
	// ErrMoved: a person must say first that the hardware is the same (AcceptDamage).
	ErrMoved = errors.New("the hardware hangs on another port than it did, and nobody has said yet that it is the same")
	// ErrTwice: the journal has a start of this attempt already.
	ErrTwice = errors.New("was started before")
	// ErrNotStarted: there is no open start to end.
	ErrNotStarted = errors.New("is not started")
)

// Journal is an open journal. All methods may be called by any goroutine.
type Journal struct {
	path string
	head header
	lock *flock.Flock
	d    disk

	syncing sync.Mutex // one fsync at a time; nobody who moves anything waits for it

	mu     sync.Mutex
	f      file
	seq    uint64
	synced uint64 // the last record that is on disk for certain
	x      *index
	owed   map[Key]bool // ended, and not yet in the claim or on disk: see Start
	broken error        // sticky
	moved  string       // the hardware's name now, while nobody has said that it is the same

	// How far it has come, for Place, which waits for nobody: as its sequence, but
	// compaction does not take from it.
	before        uint64 // records that compaction took before Open
	taken, onDisk atomic.Uint64
}

var _ guard.Beside = (*Journal)(nil)

// Open opens the journal at path for this hardware, or makes one. Of hardware that may
// be what the journal belongs to a person is asked: see Moved. known is what another
// memory knows of the journal: one that is missing then, another one, or an older
// copy of it is damage too; the zero Place is nothing. The
// folder must exist. A torn end is cut, and what is left is on disk when Open
// returns, so that nothing that was decided on it goes lost later. A damaged
// journal, or one of other hardware, is moved aside: see Damaged. Errors:
// ErrLocked; any other says that the disk failed or a later version wrote the
// file, and nothing was lost.
func Open(path string, hardware Hardware, known guard.Place) (*Journal, error) {
	return open(realDisk{}, path, hardware, known)
}

// Hardware is what a journal belongs to: driver.Identity is one. It says of a name
// whether it had that one, or may have had it.
type Hardware interface {
	String() string
	Was(name string) (same, maybe bool)
}

func open(d disk, path string, hardware Hardware, known guard.Place) (*Journal, error) {
	fail := func(err error) error { return fmt.Errorf("journal %s: %w", path, err) }
	lk, err := lock(path)
	if err != nil {
		return nil, fail(err)
	}
	j := &Journal{path: path, lock: lk, d: d, x: newIndex(), owed: map[Key]bool{}}
	boot, held := d.boot(), d.held(path)
	if held != "" {
		held = boot + "/" + held
	}
	if err := j.load(hardware, known, boot, held); err != nil {
		lk.Close()
		return nil, fail(err)
	}
	j.before = j.x.taken - j.seq
	j.taken.Store(j.x.taken)
	if err := j.run(hardware.String(), boot, held); err != nil {
		j.f.Close()
		lk.Close()
		return nil, err
	}
	j.x.order, j.x.reading = nil, false
	return j, nil
}

// run notes under which boot of the kernel this process writes. Where another one
// wrote and did not come to its Close, the power may have taken its last records
// with it, and with them the drink whose cup still stands there: then there may
// be one.
func (j *Journal) run(hardware, boot, held string) error {
	if j.moved == "" && j.head.Hardware != hardware {
		if err := j.write(payload{Do: doIs, Is: hardware}, false); err != nil {
			return err
		}
	}
	if j.x.boot == boot && j.x.held == held {
		return j.sync() // killed and started again: nothing is lost
	}
	lost := j.x.boot != "" && j.x.boot != boot
	if err := j.write(payload{Do: doRun, Boot: boot, Held: held}, false); err != nil {
		return err
	}
	if lost {
		if err := j.write(payload{Do: doCup, Order: forgotten.Order}, false); err != nil {
			return err
		}
	}
	return j.sync()
}

func (j *Journal) load(hardware Hardware, known guard.Place, boot, held string) error {
	now := hardware.String()
	b, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		damage := ""
		if known.ID != "" {
			damage = fmt.Sprintf("it is gone: the guard's memory knows a journal of %d records here", known.At)
		}
		return j.begin(now, damage, known.ID)
	}
	if err != nil {
		return err
	}
	head, seq, good, err := decode(b, j.x.apply)
	head.Hardware = cmp.Or(j.x.hardware, head.Hardware)
	same, maybe := hardware.Was(head.Hardware)
	switch {
	case errors.Is(err, errVersion):
		return err
	case err == nil && !same && !maybe:
		// What this journal says of counters and outcomes is not about this
		// machine.
		err = fmt.Errorf("it belongs to other hardware (%s, this is %s)", head.Hardware, now)
	case err == nil && j.lostSome():
		err = errors.New("the disk did not take all that was written into it")
	case err == nil && known.ID != "" && known.ID != head.ID && known.ID != j.x.after:
		err = errors.New("it is another one than the guard's memory knows: it was replaced")
	case err == nil && known.ID == head.ID && j.x.taken < known.At:
		err = fmt.Errorf("it is an older copy: it has %d records, and the guard's memory knows %d of them", j.x.taken, known.At)
	case err == nil && held != "" && strings.HasPrefix(j.x.held, boot+"/") && j.x.held != held:
		// Only the lock that the last process held says that it is dead.
		err = fmt.Errorf("since this computer started it was used under another lock: %s was deleted, or it is a copy, and its machine may run where it comes from", filepath.Base(lockOf(j.path)))
	}
	if err != nil {
		aside, e := keepAside(j.path)
		if e != nil {
			return e
		}
		j.x = newIndex()
		if err := j.begin(now, fmt.Sprintf("%v; it was kept as %s", err, filepath.Base(aside)), cmp.Or(known.ID, head.ID)); err != nil {
			return err
		}
		return j.found()
	}
	j.head, j.seq = head, seq
	if len(b) > compactAt {
		small, n, err := assemble(head, j.x.compact(keep))
		if err != nil {
			return err
		}
		if len(small) < len(b)/4*3 { // else it would be the same again at the next start
			if err := replace(j.d, j.path, small); err != nil {
				return err
			}
			j.x = newIndex()
			if _, j.seq, good, err = decode(small, j.x.apply); err != nil || j.seq != n {
				return fmt.Errorf("compaction went wrong: %d records of %d: %w", j.seq, n, err)
			}
		}
	}
	if !same {
		j.moved = now
	}
	j.f, err = j.d.extend(j.path, int64(good))
	return err
}

// begin starts a journal with a new id in the place of what is at path, or should
// be: after is its id.
func (j *Journal) begin(hardware, damage, after string) error {
	j.head = header{ID: strings.ToLower(rand.Text()), Hardware: hardware}
	var records []payload
	if damage != "" {
		records = append(records, payload{Do: doDamage, Reason: clip(damage), ID: after})
	}
	b, n, err := assemble(j.head, records)
	if err != nil {
		return err
	}
	if err := replace(j.d, j.path, b); err != nil {
		return err
	}
	for _, p := range records {
		j.x.apply(p)
	}
	j.seq = n
	j.f, err = j.d.extend(j.path, int64(len(b)))
	return err
}

// A failed fsync says, once, that the kernel has dropped what it could not write.
// What it still shows may be gone in an hour, while the boot id is the same: a
// claim would then look like this machine's own, and its start would be missing. So
// the failure leaves a file beside the journal, and whoever opens that journal next
// begins a new one. The file is for this boot only, it need not be synced.
func (j *Journal) lost() string { return j.path + ".lost" }

func (j *Journal) lostSome() bool {
	_, err := os.Lstat(j.lost())
	return err == nil
}

// found removes the file when the new journal is there.
func (j *Journal) found() error {
	if !j.lostSome() {
		return nil
	}
	if err := os.Remove(j.lost()); err != nil {
		return errors.Join(err, j.f.Close())
	}
	return j.d.syncDir(filepath.Dir(j.path))
}

// assemble makes a whole file.
func assemble(h header, records []payload) ([]byte, uint64, error) {
	b := h.encode()
	for i, p := range records {
		r, err := encode(h.ID, uint64(i)+1, p)
		if err != nil {
			return nil, 0, err
		}
		b = append(b, r...)
	}
	return b, uint64(len(records)), nil
}

// ID is the journal's random id, part of what makes an owner.
func (j *Journal) ID() string { return j.head.ID }

// Path is where the file is.
func (j *Journal) Path() string { return j.path }

// Damaged says what happened to the journal before this one, until a person
// accepts it.
func (j *Journal) Damaged() (string, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.damage, j.x.damage != ""
}

// Moved reports that the hardware may be the one that this journal belongs to, and
// that nothing tells but the name of its port, which was another one. Until a person
// says so (AcceptDamage) nothing is started.
func (j *Journal) Moved() (was, now string, is bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head.Hardware, j.moved, j.moved != ""
}

// AcceptDamage is a person's word, with name and reason, that the machine may
// work on without what the damaged journal knew. It is on disk when this returns:
// a machine that asked a person twice for the same word would not be believed.
func (j *Journal) AcceptDamage(by, why string) error {
	if strings.TrimSpace(by) == "" || strings.TrimSpace(why) == "" {
		return errors.New("accepting a damaged journal needs a name and a reason")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.moved != "" {
		if err := j.write(payload{Do: doIs, Is: j.moved, By: clip(by), Reason: clip(why), At: stamp()}, true); err != nil {
			return err
		}
		j.moved = ""
	}
	if j.x.damage == "" {
		return nil
	}
	return j.write(payload{Do: doAccept, By: clip(by), Reason: clip(why), At: stamp()}, true)
}

// Start writes that the metal will be told to make this drink. Whoever moves
// anything calls it first. It does not wait for the disk, but for ends before it
// that only this journal knows: else a counter that this drink moves could speak
// for one of those after a power cut. Errors: ErrTwice, ErrDamaged, ErrBroken; with
// any of them nothing may move.
func (j *Journal) Start(k Key, note Note) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.moved != "":
		return fmt.Errorf("can't start %s: %w", k, ErrMoved)
	case j.x.damage != "":
		return fmt.Errorf("can't start %s: %w: %s", k, ErrDamaged, j.x.damage)
	case j.x.state(k).Phase != None:
		return fmt.Errorf("%s %w", k, ErrTwice)
	}
	p := payload{Do: doStart, Order: k.Order, Epoch: k.Epoch, Cycles: note.Cycles, What: clip(note.What), At: stamp()}
	if note.Counter >= 0 {
		p.Counter = &note.Counter
	}
	if len(j.owed) > 0 {
		if err := j.sync(); err != nil {
			return err
		}
	}
	return j.write(p, false)
}

// End writes how a start came out. Who can't bring it into the claim soon calls
// Sync. The same end again is no error, another one is ErrNotStarted.
func (j *Journal) End(k Key, out Outcome, reason Reason) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.x.state(k)
	if s.Phase != Started {
		if (s.Phase == Ended || s.Phase == Confirmed) && s.Outcome == out {
			return nil
		}
		return fmt.Errorf("can't end %s as %s: it %w (it is %s %s)", k, out, ErrNotStarted, s.Phase, s.Outcome)
	}
	if err := j.write(ended(doEnd, k, out, reason), false); err != nil {
		return err
	}
	j.owed[k] = true
	return nil
}

// Sync returns when everything that was written before it is on disk. It may take
// long; nothing else waits for it.
func (j *Journal) Sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	seq, done, err := j.seq, j.synced == j.seq, j.broken
	j.mu.Unlock()
	if done || err != nil {
		return err
	}
	err = j.f.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.settled(seq, err)
}

// sync is Sync for who holds mu, at a moment when nothing is on.
func (j *Journal) sync() error {
	if j.broken != nil {
		return j.broken
	}
	return j.settled(j.seq, j.f.Sync())
}

// settled takes the result of an fsync that began after this record.
func (j *Journal) settled(seq uint64, err error) error {
	if err != nil {
		f, e := j.d.create(j.lost())
		if e == nil {
			e = f.Close()
		}
		return j.fail(errors.Join(err, e))
	}
	j.synced = max(j.synced, seq)
	j.onDisk.Store(j.before + j.synced)
	if j.synced >= j.seq {
		clear(j.owed)
	}
	return j.broken
}

// Confirm writes that the end is in the claim. If a power cut takes it, the same
// end is pushed once more, which changes nothing. Of an attempt that the journal
// does not know, there is nothing to confirm.
func (j *Journal) Confirm(k Key) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch s := j.x.state(k); s.Phase {
	case Ended:
		if err := j.write(payload{Do: doConfirm, Order: k.Order, Epoch: k.Epoch}, false); err != nil {
			return err
		}
		// A claim that is unknown still takes a better word from this journal, so
		// that nobody knows must not get lost either.
		if s.Outcome != Unknown {
			delete(j.owed, k)
		}
		return nil
	case Confirmed, None:
		return nil
	default:
		return fmt.Errorf("can't confirm %s: it is %s", k, s.Phase)
	}
}

// CupStands names the drink whose cup was not seen taken yet. After a power cut it
// may be one that nobody knows any more.
func (j *Journal) CupStands() (Key, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.dirty, j.x.dirty != Key{}
}

// CupTaken writes that the cup of CupStands was taken. If a power cut takes it, the
// cup must be seen taken once more.
func (j *Journal) CupTaken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.x.dirty == (Key{}) {
		return nil
	}
	return j.write(payload{Do: doTaken, Order: j.x.dirty.Order, Epoch: j.x.dirty.Epoch}, false)
}

// Place is how far the journal has come, with all that was written, and on disk for
// certain.
func (j *Journal) Place() (written, durable guard.Place) {
	return guard.Place{ID: j.head.ID, At: j.taken.Load()}, guard.Place{ID: j.head.ID, At: j.onDisk.Load()}
}

// Guard is where the guard's memory stood that is beside the journal, as it was
// noted last.
func (j *Journal) Guard() guard.Place {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.guard
}

// Note writes where the guard's memory stands. If a power cut takes it, an older
// one is noted, which is no harm: only a memory that has less is not believed.
func (j *Journal) Note(p guard.Place) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.x.guard == p {
		return nil
	}
	return j.write(payload{Do: doGuard, ID: p.ID, N: p.At}, false)
}

// State is what the journal says of an attempt: also of an old one, as long as
// compaction kept it.
func (j *Journal) State(k Key) State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.state(k)
}

// Latest is the highest epoch of an order that was started here, 0 if none was or
// compaction has dropped it. A claim that still offers this epoch, or an earlier
// one, is of a book that went back in time.
func (j *Journal) Latest(order string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.latest[order]
}

// Open lists the starts without end, oldest first.
func (j *Journal) Open() []Record { return j.unsettled(false) }

// Unconfirmed lists the ends that are not in their claim yet, oldest first.
func (j *Journal) Unconfirmed() []Record { return j.unsettled(true) }

func (j *Journal) unsettled(ended bool) []Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.unsettled(ended)
}

// Broken is the error after which the journal refuses everything, or nil.
func (j *Journal) Broken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.broken
}

// Close ends the use of the journal and lets go of its lock. All of it is on disk
// then, and it says so itself: no boot of the kernel that comes later asks what
// may have been lost.
func (j *Journal) Close() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lock == nil {
		return nil
	}
	var err error
	if j.broken == nil { // else it was said before
		err = j.write(payload{Do: doRun, Held: j.x.held}, true)
	}
	err = errors.Join(err, j.f.Close(), j.lock.Close())
	j.lock = nil
	if j.broken == nil {
		j.broken = fmt.Errorf("journal %s: %w: it is closed", j.path, ErrBroken)
	}
	return err
}

// write appends one record, waits for the disk if it must, and only then lets it
// count.
func (j *Journal) write(p payload, durable bool) error {
	if j.broken != nil {
		return j.broken
	}
	b, err := encode(j.head.ID, j.seq+1, p)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	if _, err := j.f.Write(b); err != nil {
		return j.fail(err)
	}
	if durable {
		if err := j.settled(j.seq+1, j.f.Sync()); err != nil {
			return err
		}
	}
	j.seq++
	j.x.apply(p)
	j.taken.Store(j.x.taken)
	return nil
}

// fail makes an end of it: after an error nobody knows what is on disk, and a
// second fsync would say "done" about data that the kernel has dropped. So nothing
// is tried again.
func (j *Journal) fail(err error) error {
	if j.broken == nil {
		j.broken = fmt.Errorf("journal %s: %w, look at the disk and start again: %w", j.path, ErrBroken, err)
	}
	return j.broken
}

func stamp() string { return time.Now().UTC().Format(time.RFC3339) }
