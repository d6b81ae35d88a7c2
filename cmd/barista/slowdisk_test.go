package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slowDiskEnv has the child's fsyncs decided by the test, see slowDisk.
const slowDiskEnv = "BARISTA_TEST_SLOW_DISK"

// slowDisk is a disk whose every fsync takes longer: the kernel asks the test before
// each of a child (seccomp's user notification), and the test answers late. Nothing
// else of the child waits for anybody, as under strace each of its threads would: that
// alone made 5 ms from call to relay into 18 (seen).
type slowDisk struct {
	t     *testing.T
	by    time.Duration
	here  *net.UnixConn
	child *os.File
	done  chan struct{}

	syncs  int // that were seen; for who has called close
	answer sync.WaitGroup
}

func newSlowDisk(t *testing.T, cmd *exec.Cmd, by time.Duration) *slowDisk {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(pair[0]), "ours")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	d := &slowDisk{t: t, by: by, here: conn.(*net.UnixConn), child: os.NewFile(uintptr(pair[1]), "child"), done: make(chan struct{})}
	cmd.ExtraFiles = []*os.File{d.child} // 3
	cmd.Env = append(cmd.Env, slowDiskEnv+"=1")
	return d
}

// run answers the kernel from the child's start to its end.
func (d *slowDisk) run() {
	d.child.Close()
	listener, err := receive(d.here)
	d.here.Close()
	if err != nil {
		close(d.done)
		d.t.Fatal("the child sent no listener: ", err)
	}
	go func() { // ends with the child, and close waits for it
		defer close(d.done)
		defer d.answer.Wait()
		defer unix.Close(listener)
		for d.next(listener) {
		}
	}()
}

// close waits until the child has ended.
func (d *slowDisk) close() int {
	<-d.done
	return d.syncs
}

// What the kernel says and is answered, seccomp_unotify(2).
type (
	seccompNotif struct {
		id         uint64
		pid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	seccompResp struct {
		id         uint64
		val        int64
		err, flags uint32
	}
)

const (
	seccompSetModeFilter = 1
	seccompTSync         = 1  // all threads
	seccompNewListener   = 8  //
	seccompTSyncESRCH    = 16 // the two together
	seccompAllow         = 0x7fff0000
	seccompAskUser       = 0x7fc00000
	seccompReceive       = 0xc0502100
	seccompSend          = 0xc0182101
	seccompGoOn          = 1
)

// next takes one question and has it answered late; false when nobody asks any more.
func (d *slowDisk) next(listener int) bool {
	fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) || fds[0].Revents&unix.POLLHUP != 0 {
		return false
	}
	var a seccompNotif
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), seccompReceive, uintptr(unsafe.Pointer(&a))); e != 0 {
		return true // who asked was interrupted, and asks again
	}
	d.syncs++
	d.answer.Go(func() {
		<-time.After(d.by)
		yes := seccompResp{id: a.id, flags: seccompGoOn}
		unix.Syscall(unix.SYS_IOCTL, uintptr(listener), seccompSend, uintptr(unsafe.Pointer(&yes)))
	})
	return true
}

// receive takes the listener that the child has sent.
func receive(c *net.UnixConn) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return 0, err
	}
	ms, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(ms) != 1 {
		return 0, errors.Join(err, errors.New("no file came"))
	}
	fds, err := unix.ParseUnixRights(&ms[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.Join(err, errors.New("no file came"))
	}
	return fds[0], nil
}

// askAtSyncs is the child's part, before it is anything else.
func askAtSyncs() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: unix.SYS_FSYNC},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: unix.SYS_FDATASYNC},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompAllow},
		{Code: unix.BPF_RET | unix.BPF_K, K: seccompAskUser},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, seccompSetModeFilter, seccompTSync|seccompNewListener|seccompTSyncESRCH, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		panic("seccomp: " + e.Error())
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		panic(err)
	}
	unix.Close(int(fd))
	unix.Close(3)
	os.Unsetenv(slowDiskEnv)
}
