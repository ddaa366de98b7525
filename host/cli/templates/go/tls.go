// What a TLS client offers in its ClientHello.
//
// The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues
// in the next packets; the values that they contain are null. To read them, collect the payload in the state, in the
// order of `tcp_seq`.
package main

import (
	"slices"

	"flowloom"
)

// Indexes of the outputs, in the order of the manifest's list.
const (
	sni = iota
	version
	cipherCount
	alpn
)

const (
	handshake   = 22
	clientHello = 1

	extensionServerName = 0
	extensionALPN       = 16
	extensionVersions   = 43
)

const maxText = 255

// State is the state of a flow. Without a value, texts are empty, and integers are -1.
type State struct {
	seen        bool
	sni, alpn   string
	version     int
	cipherCount int
}

// TLS is the plugin; it has no data of its own.
type TLS struct{}

func (p *TLS) Open(options *flowloom.Options, available flowloom.Available) (flowloom.Manifest, error) {
	return flowloom.Manifest{
		Version:        "0.1.0",
		Description:    "What a TLS client offers in its ClientHello.",
		PayloadBytes:   1500,
		PacketsPerFlow: 10,
		AllocatedBytes: 2 * maxText,
		Outputs: []flowloom.Output{
			{Name: "sni", Type: flowloom.Text, Description: "Name of the server that the client wants."},
			{Name: "version", Type: flowloom.Integer, Description: "Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3."},
			{Name: "cipher_count", Type: flowloom.Integer, Description: "Number of cipher suites that the client offers, without GREASE."},
			{Name: "alpn", Type: flowloom.Text, Description: "First application protocol that the client offers."},
		},
	}, nil
}

func (p *TLS) Init(state *State, packet, flow flowloom.Row) {
	state.version, state.cipherCount = -1, -1
	p.Update(state, packet, flow)
}

func (p *TLS) Update(state *State, packet, _ flowloom.Row) {
	payload := packet.Payload()
	if !state.seen && len(payload) > 0 {
		state.seen = true
		readHello(state, payload)
	}
}

func (p *TLS) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	if state.sni != "" {
		outputs.SetText(sni, state.sni)
	}
	if state.version >= 0 {
		outputs.SetInteger(version, int64(state.version))
	}
	if state.cipherCount >= 0 {
		outputs.SetInteger(cipherCount, int64(state.cipherCount))
	}
	if state.alpn != "" {
		outputs.SetText(alpn, state.alpn)
	}
}

func (p *TLS) Finish() {}

func readHello(state *State, payload []byte) {
	// Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
	if len(payload) < 44 || payload[0] != handshake || payload[1] != 3 || payload[5] != clientHello {
		return
	}
	end := 9 + (int(payload[6])<<16 | int(payload[7])<<8 | int(payload[8]))
	hello := payload[:min(end, len(payload))]
	at := 44 + int(payload[43])
	suites := u16(hello, at)
	at += 2
	if at+suites > len(hello) {
		return
	}
	state.cipherCount = len(withoutGrease(hello[at : at+suites]))
	at += suites
	// Skip the compression methods, and the size of all extensions.
	if at < len(hello) {
		at += int(hello[at])
	}
	at += 1 + 2
	for at+4 <= len(hello) {
		kind, size := u16(hello, at), u16(hello, at+2)
		at += 4
		if at+size > len(hello) {
			break
		}
		readExtension(state, kind, hello[at:at+size])
		at += size
	}
	if state.version < 0 && len(hello) == end {
		state.version = u16(hello, 9)
	}
}

func readExtension(state *State, kind int, data []byte) {
	switch {
	case kind == extensionServerName && len(data) >= 5 && data[2] == 0:
		state.sni = text(data, 5, u16(data, 3))
	case kind == extensionALPN && len(data) >= 3:
		state.alpn = text(data, 3, int(data[2]))
	case kind == extensionVersions:
		state.version = -1
		if offered := withoutGrease(data[min(1, len(data)):]); len(offered) > 0 {
			state.version = slices.Max(offered)
		}
	}
}

// withoutGrease returns the 16-bit numbers in the data that are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
func withoutGrease(data []byte) []int {
	var numbers []int
	for at := 0; at+2 <= len(data); at += 2 {
		number := u16(data, at)
		if number&0x0f0f != 0x0a0a || number>>8 != number&0xff {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// u16 returns a 16-bit number; 0 after the end of the data.
func u16(data []byte, at int) int {
	if at+2 > len(data) {
		return 0
	}
	return int(data[at])<<8 | int(data[at+1])
}

// text returns a part of the data as text; an empty text if the part was cut.
func text(data []byte, at, size int) string {
	if at+size > len(data) {
		return ""
	}
	printable := slices.Clone(data[at : at+min(size, maxText)])
	for n, b := range printable {
		if b < 32 || b >= 127 {
			printable[n] = '?'
		}
	}
	return string(printable)
}

func init() { flowloom.Export(&TLS{}) }

func main() {}
