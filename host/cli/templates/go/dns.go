// The first DNS question of a flow, and its answer.
package main

import (
	"encoding/binary"
	"strings"

	"flowloom"
)

// Indexes of the packet fields and of the outputs, in the order of the manifest's lists.
const (
	protocol = iota
	srcPort
	dstPort
)

const (
	query = iota
	qtype
	rcode
	answers
	target
)

const (
	udp  = 17
	port = 53

	ns    = 2
	cname = 5
	ptr   = 12
)

// State is the state of a flow. Without a name, the text is empty.
type State struct {
	query, target string
	qtype         uint16
	answered      bool
	rcode         uint8
	answers       uint16
}

// DNS is the plugin; it has no data of its own.
type DNS struct{}

func (p *DNS) Open(options *flowloom.Options, available flowloom.Available) (flowloom.Manifest, error) {
	return flowloom.Manifest{
		Version:        "0.1.0",
		Description:    "The first DNS question of a flow, and its answer.",
		Packet:         []string{"protocol", "src_port", "dst_port"},
		PayloadBytes:   512,
		AllocatedBytes: 512,
		Outputs: []flowloom.Output{
			{Name: "query", Type: flowloom.Text, Description: "Name in the first question."},
			{Name: "qtype", Type: flowloom.Integer, Description: "Record type of the first question: 1 is A, 28 is AAAA."},
			{Name: "rcode", Type: flowloom.Integer, Description: "Code of the first response: 0 is no error, 3 is NXDOMAIN."},
			{Name: "answers", Type: flowloom.Integer, Description: "Number of answers that the first response announces."},
			{Name: "target", Type: flowloom.Text, Description: "Name to which the first answer leads, if it is an NS, CNAME or PTR record."},
		},
	}, nil
}

func (p *DNS) Init(state *State, packet, flow flowloom.Row) {
	p.Update(state, packet, flow)
}

func (p *DNS) Update(state *State, packet, _ flowloom.Row) {
	message := packet.Payload()
	if packet.Unsigned(protocol) != udp || len(message) < 12 {
		return
	}
	if packet.Unsigned(srcPort) != port && packet.Unsigned(dstPort) != port {
		return
	}
	firstResponse := message[2] >= 0x80 && !state.answered
	questions := binary.BigEndian.Uint16(message[4:])
	announced := binary.BigEndian.Uint16(message[6:])
	if firstResponse {
		state.answered = true
		state.rcode = message[3] & 0x0f
		state.answers = announced
	}
	if questions == 0 {
		return
	}
	name, at := readName(message, 12)
	if name == "" || at+4 > len(message) {
		return
	}
	if state.query == "" {
		state.query = name
		state.qtype = binary.BigEndian.Uint16(message[at:])
	}
	// The first answer follows the only question: a name, the type, class, TTL, size and data.
	if !firstResponse || questions != 1 || announced == 0 {
		return
	}
	name, at = readName(message, at+4)
	if name == "" || at+10 > len(message) {
		return
	}
	switch binary.BigEndian.Uint16(message[at:]) {
	case ns, cname, ptr:
		state.target, _ = readName(message, at+10)
	}
}

func (p *DNS) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	if state.query != "" {
		outputs.SetText(query, state.query)
		outputs.SetInteger(qtype, int64(state.qtype))
	}
	if state.answered {
		outputs.SetInteger(rcode, int64(state.rcode))
		outputs.SetInteger(answers, int64(state.answers))
	}
	if state.target != "" {
		outputs.SetText(target, state.target)
	}
}

func (p *DNS) Finish() {}

// readName returns a name and the position after it; an empty name if it is malformed or was cut.
func readName(message []byte, at int) (string, int) {
	var name strings.Builder
	start, end := at, 0
	for at < len(message) {
		length := int(message[at])
		if length == 0 {
			if name.Len() == 0 {
				name.WriteByte('.')
			}
			if end == 0 {
				end = at + 1
			}
			return name.String(), end
		}
		if length >= 0xc0 { // a pointer to another name
			if at+2 > len(message) {
				return "", 0
			}
			if end == 0 {
				end = at + 2
			}
			at = int(binary.BigEndian.Uint16(message[at:])) & 0x3fff
			// Pointers lead backwards only, so this loop ends. The header contains no name.
			if at < 12 || at >= start {
				return "", 0
			}
			start = at
			continue
		}
		if name.Len() > 0 {
			name.WriteByte('.')
		}
		// In the message, a name has at most 255 bytes: each label has a byte for its length, and a 0 follows.
		if length > 63 || name.Len()+length > 253 || at+1+length > len(message) {
			return "", 0
		}
		for _, b := range message[at+1 : at+1+length] {
			if b < 32 || b >= 127 {
				b = '?'
			}
			name.WriteByte(b)
		}
		at += 1 + length
	}
	return "", 0
}

func init() { flowloom.Export(&DNS{}) }

func main() {}
