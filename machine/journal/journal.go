package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
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

	mu     sync.Mutex
	f      file
	seq    uint64
	x      *index
	broken error // sticky
}

// Open opens the journal at path for the given hardware, or makes one. The
// folder must exist. A torn end is cut. A damaged journal, or one of other
// hardware, is moved aside: see Damaged. Errors: ErrLocked; any other says that
// the disk failed or a later version wrote the file, and nothing was lost.
func Open(path, hardware string) (*Journal, error) { return open(realDisk{}, path, hardware) }

func open(d disk, path, hardware string) (*Journal, error) {
	fail := func(err error) error { return fmt.Errorf("journal %s: %w", path, err) }
	lk, err := lock(path)
	if err != nil {
		return nil, fail(err)
	}
	j := &Journal{path: path, lock: lk, x: newIndex()}
	if err := j.load(d, hardware); err != nil {
		lk.Close()
		return nil, fail(err)
	}
	j.x.order, j.x.reading = nil, false
	return j, nil
}

func (j *Journal) load(d disk, hardware string) error {
	b, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return j.begin(d, hardware, "")
	}
	if err != nil {
		return err
	}
	head, seq, good, err := decode(b, j.x.apply)
	switch {
	case errors.Is(err, errVersion):
		return err
	case err == nil && head.Hardware != hardware:
		// What this journal says of counters and outcomes is not about this
		// machine.
		err = fmt.Errorf("it belongs to other hardware (%s, this is %s)", head.Hardware, hardware)
	}
	if err != nil {
		aside, e := keepAside(j.path)
		if e != nil {
			return e
		}
		j.x = newIndex()
		return j.begin(d, hardware, fmt.Sprintf("%v; it was kept as %s", err, filepath.Base(aside)))
	}
	j.head, j.seq = head, seq
	if len(b) > compactAt {
		small, n, err := assemble(head, j.x.compact(keep))
		if err != nil {
			return err
		}
		if len(small) < len(b)/4*3 { // else it would be the same again at the next start
			if err := replace(d, j.path, small); err != nil {
				return err
			}
			j.x = newIndex()
			if _, j.seq, good, err = decode(small, j.x.apply); err != nil || j.seq != n {
				return fmt.Errorf("compaction went wrong: %d records of %d: %w", j.seq, n, err)
			}
		}
	}
	j.f, err = d.extend(j.path, int64(good))
	return err
}

// begin starts a journal with a new id in the place of what is at path.
func (j *Journal) begin(d disk, hardware, damage string) error {
	j.head = header{ID: strings.ToLower(rand.Text()), Hardware: hardware}
	var records []payload
	if damage != "" {
		records = append(records, payload{Do: doDamage, Reason: clip(damage)})
	}
	b, n, err := assemble(j.head, records)
	if err != nil {
		return err
	}
	if err := replace(d, j.path, b); err != nil {
		return err
	}
	for _, p := range records {
		j.x.apply(p)
	}
	j.seq = n
	j.f, err = d.extend(j.path, int64(len(b)))
	return err
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

// AcceptDamage is a person's word, with name and reason, that the machine may
// work on without what the damaged journal knew. It is durable.
func (j *Journal) AcceptDamage(by, why string) error {
	if strings.TrimSpace(by) == "" || strings.TrimSpace(why) == "" {
		return errors.New("accepting a damaged journal needs a name and a reason")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.x.damage == "" {
		return nil
	}
	return j.write(payload{Do: doAccept, By: clip(by), Reason: clip(why), At: stamp()}, true)
}

// Start writes that the metal will be told to make this drink, and returns when
// that is on disk. Whoever moves anything calls it first. Errors: ErrTwice,
// ErrDamaged, ErrBroken; with any of them nothing may move.
func (j *Journal) Start(k Key, note Note) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.x.damage != "":
		return fmt.Errorf("can't start %s: %w: %s", k, ErrDamaged, j.x.damage)
	case j.x.state(k).Phase != None:
		return fmt.Errorf("%s %w", k, ErrTwice)
	}
	p := payload{Do: doStart, Order: k.Order, Epoch: k.Epoch, Cycles: note.Cycles, What: clip(note.What), At: stamp()}
	if note.Counter >= 0 {
		p.Counter = &note.Counter
	}
	return j.write(p, true)
}

// End writes how a start came out, and returns when that is on disk. The same
// end again is no error, another one is ErrNotStarted.
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
	return j.write(ended(doEnd, k, out, reason), true)
}

// Confirm writes that the end is in the claim. It is not awaited on disk: if a
// power cut takes it, the same end is pushed once more, which changes nothing.
// Of an attempt that the journal does not know, there is nothing to confirm.
func (j *Journal) Confirm(k Key) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch s := j.x.state(k); s.Phase {
	case Ended:
		return j.write(payload{Do: doConfirm, Order: k.Order, Epoch: k.Epoch}, false)
	case Confirmed, None:
		return nil
	default:
		return fmt.Errorf("can't confirm %s: it is %s", k, s.Phase)
	}
}

// CupStands names the drink whose cup was not seen taken yet.
func (j *Journal) CupStands() (Key, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.dirty, j.x.dirty != Key{}
}

// CupTaken writes that the cup of CupStands was taken. It is not awaited on
// disk: if a power cut takes it, the cup must be seen taken once more.
func (j *Journal) CupTaken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.x.dirty == (Key{}) {
		return nil
	}
	return j.write(payload{Do: doTaken, Order: j.x.dirty.Order, Epoch: j.x.dirty.Epoch}, false)
}

// State is what the journal says of an attempt: also of an old one, as long as
// compaction kept it.
func (j *Journal) State(k Key) State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.x.state(k)
}

// Latest is the highest epoch of an order that was started here, 0 if none was.
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

// Close ends the use of the journal and lets go of its lock.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lock == nil {
		return nil
	}
	err := j.f.Sync() // what was not awaited
	if j.broken != nil {
		err = nil // said before
	}
	err = errors.Join(err, j.f.Close(), j.lock.Close())
	j.lock = nil
	if j.broken == nil {
		j.broken = fmt.Errorf("journal %s: %w: it is closed", j.path, ErrBroken)
	}
	return err
}

// write appends one record, waits for the disk if it must, and only then lets
// it count. After an error nobody knows what is on disk, and a second fsync
// would say "done" about data that the kernel has dropped: so nothing is tried
// again.
func (j *Journal) write(p payload, durable bool) error {
	if j.broken != nil {
		return j.broken
	}
	b, err := encode(j.head.ID, j.seq+1, p)
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.path, err)
	}
	if _, err = j.f.Write(b); err == nil && durable {
		err = j.f.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("journal %s: %w, look at the disk and start again: %w", j.path, ErrBroken, err)
		return j.broken
	}
	j.seq++
	j.x.apply(p)
	return nil
}

func stamp() string { return time.Now().UTC().Format(time.RFC3339) }

// Sync waits until everything that was written is on the disk.
func (j *Journal) Sync() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	return j.f.Sync()
}
