package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Function is what a request asks for.
type Function byte

// The functions that relay boards know.
const (
	ReadCoils  Function = 0x01 // relays
	ReadInputs Function = 0x02 // contacts
	WriteCoil  Function = 0x05 // one relay; also flash-on
	WriteCoils Function = 0x0F // several relays
)

// The values of WriteCoil on a relay.
const (
	coilOn     = 0xFF00
	coilOff    = 0x0000
	coilToggle = 0x5500 // not idempotent: a repeated one does the opposite. Never sent
)

// Flash-on is a write to this coil plus the relay's: the value is the time in
// steps, after which the board opens the relay. Waveshare's boards and those
// built like them have it.
const (
	flashOn  = 0x0200
	flashEnd = 0x0300
	allCoils = 0x00FF // a write to it is for every relay
	Tick     = 100 * time.Millisecond
	maxTicks = 0x7FFF
)

// maxBits is how many relays or contacts one request may be about. The standard
// allows 2000; no board has so many, and it bounds every frame.
const maxBits = 256

// Request is what a host sends.
type Request struct {
	Address  byte // 1 to 247; 0 is for every board, and none answers
	Function Function
	Start    uint16
	Count    uint16 // of coils or inputs; 1 for WriteCoil
	Value    uint16 // of WriteCoil
	Bits     []bool // of WriteCoils
}

// Off opens one relay.
func Off(address byte, coil uint16) Request {
	return Request{Address: address, Function: WriteCoil, Start: coil, Count: 1, Value: coilOff}
}

// OffAll opens a row of relays.
func OffAll(address byte, coil, count uint16) Request {
	return Request{Address: address, Function: WriteCoils, Start: coil, Count: count, Bits: make([]bool, count)}
}

// On closes one relay until it is opened: for boards without a timer.
func On(address byte, coil uint16) Request {
	return Request{Address: address, Function: WriteCoil, Start: coil, Count: 1, Value: coilOn}
}

// Flash closes one relay; the board opens it after so many steps of 100 ms.
func Flash(address byte, coil uint16, ticks int) Request {
	return Request{Address: address, Function: WriteCoil, Start: flashOn + coil, Count: 1, Value: uint16(min(max(ticks, 1), maxTicks))}
}

// Read asks for relays or contacts.
func Read(address byte, what Function, start, count uint16) Request {
	return Request{Address: address, Function: what, Start: start, Count: count}
}

// Flashes is the relay and the time of a flash-on.
func (r Request) Flashes() (coil uint16, d time.Duration, is bool) {
	if r.Function != WriteCoil || r.Start < flashOn || r.Start >= flashEnd {
		return 0, 0, false
	}
	return r.Start - flashOn, time.Duration(r.Value) * Tick, true
}

// Toggles reports the command that must never be sent.
func (r Request) Toggles() bool {
	return r.Function == WriteCoil && r.Value == coilToggle && !r.flash()
}

// All reports a write to every relay, and whether it is on.
func (r Request) All() (on, is bool) {
	return r.Value == coilOn, r.Function == WriteCoil && r.Start == allCoils
}

// Closes reports a write that closes one relay without a time.
func (r Request) Closes() bool { return r.Function == WriteCoil && r.Value == coilOn && !r.flash() }

func (r Request) flash() bool { _, _, is := r.Flashes(); return is }

func (r Request) String() string {
	who := fmt.Sprintf("board %d: ", r.Address)
	coil, d, flash := r.Flashes()
	switch {
	case flash:
		return who + fmt.Sprintf("coil %d on for %v", coil, d)
	case r.Function == WriteCoil:
		what := map[uint16]string{coilOn: "on", coilOff: "off", coilToggle: "toggled"}[r.Value]
		return who + fmt.Sprintf("coil %d %s", r.Start, what)
	case r.Function == WriteCoils:
		return who + fmt.Sprintf("coils from %d: %v", r.Start, r.Bits)
	}
	return who + fmt.Sprintf("read %d of %02X from %d", r.Count, byte(r.Function), r.Start)
}

// Append adds the request's bytes, with the sum.
func (r Request) Append(b []byte) []byte {
	from := len(b)
	b = append(b, r.Address, byte(r.Function))
	b = binary.BigEndian.AppendUint16(b, r.Start)
	switch r.Function {
	case WriteCoil:
		b = binary.BigEndian.AppendUint16(b, r.Value)
	case WriteCoils:
		b = binary.BigEndian.AppendUint16(b, r.Count)
		b = appendBits(b, r.Bits)
	default:
		b = binary.BigEndian.AppendUint16(b, r.Count)
	}
	return appendCRC(b, from)
}

// What a decoder can find wrong.
var (
	errShort = errors.New("the frame is too short")
	errLong  = errors.New("the frame is too long")
	errCRC   = errors.New("the frame is damaged: its sum is wrong")
	errBody  = errors.New("the frame contradicts itself")
	errOther = errors.New("the frame is of another function")
)

// DecodeRequest reads one whole frame, as a board does: the bytes between two
// silences.
func DecodeRequest(b []byte) (Request, error) {
	var r Request
	if err := checkFrame(b, 8); err != nil {
		return r, err
	}
	r = Request{Address: b[0], Function: Function(b[1]), Start: binary.BigEndian.Uint16(b[2:]), Count: binary.BigEndian.Uint16(b[4:])}
	switch r.Function {
	case ReadCoils, ReadInputs:
		if r.Count == 0 || r.Count > maxBits {
			return r, errBody
		}
	case WriteCoil:
		r.Count, r.Value = 1, r.Count
		if r.flash() {
			if r.Value == 0 || r.Value > maxTicks {
				return r, errBody
			}
		} else if r.Value != coilOn && r.Value != coilOff && r.Value != coilToggle {
			return r, errBody
		}
	case WriteCoils:
		n := int(r.Count+7) / 8
		if r.Count == 0 || r.Count > maxBits {
			return r, errBody
		}
		if len(b) < 7+n+2 {
			return r, errShort
		}
		if len(b) > 7+n+2 {
			return r, errLong
		}
		if int(b[6]) != n {
			return r, errBody
		}
		var clean bool
		if r.Bits, clean = bits(b[7:7+n], int(r.Count)); !clean {
			return r, errBody
		}
		return r, nil
	default:
		return r, errOther
	}
	if len(b) > 8 {
		return r, errLong
	}
	return r, nil
}

// Answer is what a board sends.
type Answer struct {
	Address   byte
	Function  Function
	Exception Exception // 0: none
	Start     uint16    // of a write
	Count     uint16    // of WriteCoils
	Value     uint16    // of WriteCoil
	Bits      []bool    // of a read
}

// Append adds the answer's bytes, with the sum.
func (a Answer) Append(b []byte) []byte {
	from := len(b)
	b = append(b, a.Address, byte(a.Function))
	switch {
	case a.Exception != 0:
		b[from+1] |= 0x80
		b = append(b, byte(a.Exception))
	case a.Function == WriteCoil:
		b = binary.BigEndian.AppendUint16(b, a.Start)
		b = binary.BigEndian.AppendUint16(b, a.Value)
	case a.Function == WriteCoils:
		b = binary.BigEndian.AppendUint16(b, a.Start)
		b = binary.BigEndian.AppendUint16(b, a.Count)
	default:
		b = appendBits(b, a.Bits)
	}
	return appendCRC(b, from)
}

// DecodeAnswer reads one whole frame and wants it to answer this request.
func DecodeAnswer(r Request, b []byte) (Answer, error) {
	var a Answer
	if err := checkFrame(b, 5); err != nil {
		return a, err
	}
	a = Answer{Address: b[0], Function: Function(b[1] &^ 0x80)}
	if a.Address != r.Address || a.Function != r.Function {
		return a, errOther
	}
	if b[1]&0x80 != 0 {
		a.Exception = Exception(b[2])
		if len(b) != 5 {
			return a, errLong
		}
		if a.Exception == 0 {
			return a, errBody
		}
		return a, nil
	}
	if n := answerLen(r); len(b) < n {
		return a, errShort
	} else if len(b) > n {
		return a, errLong
	}
	switch r.Function {
	case WriteCoil, WriteCoils:
		a.Start = binary.BigEndian.Uint16(b[2:])
		v := binary.BigEndian.Uint16(b[4:])
		if r.Function == WriteCoil {
			a.Value = v
		} else {
			a.Count = v
		}
		if a.Start != r.Start || r.Function == WriteCoil && v != r.Value || r.Function == WriteCoils && v != r.Count {
			return a, errBody // of another write
		}
	default:
		n := int(r.Count+7) / 8
		if int(b[2]) != n {
			return a, errBody
		}
		a.Bits, _ = bits(b[3:3+n], int(r.Count))
	}
	return a, nil
}

// answerLen is how long the answer is, if it is no exception.
func answerLen(r Request) int {
	if r.Function == ReadCoils || r.Function == ReadInputs {
		return 3 + int(r.Count+7)/8 + 2
	}
	return 8
}

// maxAnswer is as much as is kept while an answer is looked for.
const maxAnswer = 256

// find looks for the answer anywhere in what came: before it may stand noise, an
// adapter's echo of the question, or the answer to an older question. It goes by
// shape and sum, as the pauses between frames do not survive a USB adapter.
func find(r Request, b []byte) (Answer, bool) {
	n := answerLen(r)
	for i := range b {
		if b[i] != r.Address {
			continue
		}
		for _, size := range []int{n, 5} {
			if len(b) < i+size {
				continue
			}
			if a, err := DecodeAnswer(r, b[i:i+size]); err == nil && (size == n && a.Exception == 0 || size == 5 && a.Exception != 0) {
				return a, true
			}
		}
	}
	return Answer{}, false
}

// Exception is a board's refusal.
type Exception byte

func (e Exception) Error() string {
	text := map[Exception]string{
		1: "it does not know this command",
		2: "it has no relay or contact of this number",
		3: "it does not take this value",
		4: "it failed",
		5: "it is still at work on it",
		6: "it is busy",
	}[e]
	if text == "" {
		text = "for a reason of its own"
	}
	return fmt.Sprintf("the board refuses: %s (exception %d)", text, byte(e))
}

func checkFrame(b []byte, least int) error {
	if len(b) < least {
		return errShort
	}
	if len(b) > maxAnswer {
		return errLong
	}
	if crc(b[:len(b)-2]) != binary.LittleEndian.Uint16(b[len(b)-2:]) {
		return errCRC
	}
	return nil
}

// crc is CRC-16 with the polynomial A001 (reflected), from FFFF.
func crc(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, x := range b {
		sum ^= uint16(x)
		for range 8 {
			low := sum & 1
			sum >>= 1
			if low != 0 {
				sum ^= 0xA001
			}
		}
	}
	return sum
}

func appendCRC(b []byte, from int) []byte {
	return binary.LittleEndian.AppendUint16(b, crc(b[from:]))
}

// appendBits adds the number of bytes and the bits, the first one lowest.
func appendBits(b []byte, list []bool) []byte {
	n := (len(list) + 7) / 8
	b = append(b, byte(n))
	at := len(b)
	b = append(b, make([]byte, n)...)
	for i, on := range list {
		if on {
			b[at+i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// bits reads n bits. Those that fill up the last byte should be 0, which clean says; a
// board that has more relays than it was asked for may send theirs.
func bits(b []byte, n int) (list []bool, clean bool) {
	list, clean = make([]bool, n), true
	for i := range 8 * len(b) {
		on := b[i/8]>>(i%8)&1 == 1
		if i < n {
			list[i] = on
		} else if on {
			clean = false
		}
	}
	return list, clean
}
