package brokertest

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// MQTT is a connection that speaks MQTT 3.1.1, as far as a test needs it: it can send one
// message twice, as a client does that has not heard that it came.
type MQTT struct {
	t    testing.TB
	conn net.Conn
	// Heard is what comes to its subscriptions.
	Heard chan Heard

	mu   sync.Mutex // guards acks, and writing
	acks map[uint16]chan byte
	next uint16
}

// Heard is a message that came.
type Heard struct {
	Topic  string
	Body   []byte
	QoS    byte
	Retain bool
}

// The packets that a test meets.
const (
	mqttConnect   = 1
	mqttConnAck   = 2
	mqttPublish   = 3
	mqttPubAck    = 4
	mqttSubscribe = 8
	mqttSubAck    = 9
)

// DialMQTT connects as user, without one where that is empty; refused is what the server
// says to one that may not. The connection is closed with the test.
func DialMQTT(t testing.TB, address, client, user, password string, secure *tls.Config) (m *MQTT, refused error) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 30 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	flags, payload := byte(2), mqttString(client) // a clean session
	if user != "" {
		flags |= 0xc0
		payload = append(append(payload, mqttString(user)...), mqttString(password)...)
	}
	head := append(mqttString("MQTT"), 4, flags, 0, 0) // without keep alive
	m = &MQTT{t: t, conn: conn, Heard: make(chan Heard, 1024), acks: map[uint16]chan byte{}}
	m.write(mqttConnect, 0, append(head, payload...))
	in := bufio.NewReader(conn)
	kind, _, body, err := mqttRead(in)
	if err != nil || kind != mqttConnAck || len(body) != 2 || body[1] != 0 {
		conn.Close()
		return nil, fmt.Errorf("MQTT: refused: packet %d, %v, %w", kind, body, err)
	}
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		m.read(in)
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return m, nil
}

// Subscribe asks for topics at a quality, and reports whether the server allows them.
func (m *MQTT) Subscribe(qos byte, topic string) bool {
	m.t.Helper()
	id, ack := m.id()
	m.write(mqttSubscribe, 2, append(append(mqttID(id), mqttString(topic)...), qos))
	return m.await(ack) != 0x80
}

// Publish sends a message as often as said, each time but the first marked as sent
// before, with one number at QoS 1, and waits until the server has it.
func (m *MQTT) Publish(qos byte, times int, topic, body string) {
	m.t.Helper()
	packet := mqttString(topic)
	var ack chan byte
	if qos > 0 {
		var id uint16
		id, ack = m.id()
		packet = append(packet, mqttID(id)...)
	}
	packet = append(packet, body...)
	for i := range times {
		flags := qos << 1
		if i > 0 {
			flags |= 8
		}
		m.write(mqttPublish, flags, packet)
		if qos > 0 {
			m.await(ack)
		}
	}
}

// Await is the next message that is wanted; others are passed by.
func (m *MQTT) Await(what string, wanted func(Heard) bool) Heard {
	m.t.Helper()
	late := time.NewTimer(2 * time.Minute)
	defer late.Stop()
	for {
		select {
		case h, open := <-m.Heard:
			if !open {
				m.t.Fatalf("MQTT: the server closed the connection before %s", what)
			}
			if wanted(h) {
				return h
			}
		case <-late.C:
			m.t.Fatalf("MQTT: waited two minutes for %s", what)
		}
	}
}

func (m *MQTT) await(ack chan byte) byte {
	m.t.Helper()
	select {
	case code := <-ack:
		return code
	case <-time.After(2 * time.Minute):
		m.t.Fatal("MQTT: the server did not acknowledge")
	}
	return 0
}

func (m *MQTT) id() (uint16, chan byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	m.acks[m.next] = make(chan byte, 16)
	return m.next, m.acks[m.next]
}

func (m *MQTT) write(kind, flags byte, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	packet := []byte{kind<<4 | flags}
	for n := len(body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			packet = append(packet, b|0x80)
			continue
		}
		packet = append(packet, b)
		break
	}
	_, _ = m.conn.Write(append(packet, body...)) // what did not leave is not acknowledged
}

// read ends with the connection.
func (m *MQTT) read(in *bufio.Reader) {
	defer close(m.Heard)
	for {
		kind, flags, body, err := mqttRead(in)
		if err != nil {
			return
		}
		switch {
		case kind == mqttPublish && len(body) >= 2:
			n := int(binary.BigEndian.Uint16(body)) + 2
			h := Heard{Topic: string(body[2:n]), QoS: flags >> 1 & 3, Retain: flags&1 == 1}
			if h.QoS > 0 {
				m.write(mqttPubAck, 0, body[n:n+2])
				n += 2
			}
			h.Body = body[n:]
			select {
			case m.Heard <- h:
			case <-m.t.Context().Done():
				return
			}
		case (kind == mqttPubAck || kind == mqttSubAck) && len(body) >= 2:
			m.mu.Lock()
			ack := m.acks[binary.BigEndian.Uint16(body)]
			m.mu.Unlock()
			if ack != nil {
				ack <- body[len(body)-1]
			}
		}
	}
}

func mqttRead(in *bufio.Reader) (kind, flags byte, body []byte, err error) {
	first, err := in.ReadByte()
	if err != nil {
		return 0, 0, nil, err
	}
	n := 0
	for shift := 0; ; shift += 7 {
		b, err := in.ReadByte()
		if err != nil || shift > 21 {
			return 0, 0, nil, fmt.Errorf("a packet's length: %w", err)
		}
		if n |= int(b&0x7f) << shift; b < 0x80 {
			break
		}
	}
	body = make([]byte, n)
	_, err = io.ReadFull(in, body)
	return first >> 4, first & 15, body, err
}

func mqttString(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func mqttID(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }
