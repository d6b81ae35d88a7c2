package station

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// Folder is where a machine keeps its lock, its journal, its calibration and its
// guard's memory.
func Folder(state, name string) string { return filepath.Join(state, "machine-"+name) }

// lockPatience is how long a service waits for a safe-off, or a person's short
// look, to end. Another service holds the lock for longer.
const lockPatience = RestTime + time.Second

// DrivenError: another process drives this machine.
type DrivenError struct{ Dir string }

func (e *DrivenError) Error() string {
	return fmt.Sprintf("another process drives this machine (%s)", e.Dir)
}

// Lock makes sure that one process drives the machine of this folder, until it is
// closed. A *DrivenError says that another one does.
func Lock(ctx context.Context, dir string) (io.Closer, error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o640))
	patient, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	_, err := lock.TryLockContext(patient, 50*time.Millisecond)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &DrivenError{dir}
	}
	return lock, err
}

// ForeignError: a folder belongs to another user than this process's.
type ForeignError struct {
	Dir   string
	Owner uint32
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the state folder %s belongs to another user", e.Dir)
}

// Own refuses to work in the folder of another user, by a *ForeignError: what root
// writes there the service could not read any more, latch and rests among it. A
// folder that is not there is no error; one that can't be looked into is.
func Own(dir string) error {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		return nil // it is made, or that says why not
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) == os.Geteuid() {
		return nil
	}
	return &ForeignError{dir, sys.Uid}
}

// runningName is the file in a machine's folder that says by which configuration
// it is driven. It is there from before its first output is opened until all are
// seen off; left over, it tells Rest's caller what the dead process had in its
// hands, whatever a person has changed in the file since.
const runningName = "running.yaml"

// Copies lists those files in a state folder, each in its machine's folder.
func Copies(state string) []string {
	if state == "" {
		return nil
	}
	list, _ := filepath.Glob(filepath.Join(state, "machine-*", runningName)) // the pattern is right
	return list
}

// keepRunning writes that file. A full disk is no reason to stop: then the file
// itself must do.
func keepRunning(dir string, text []byte) error {
	return renameio.WriteFile(filepath.Join(dir, runningName), text, 0o600, renameio.WithTempDir(dir))
}

func dropRunning(dir string) error {
	if err := os.Remove(filepath.Join(dir, runningName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
