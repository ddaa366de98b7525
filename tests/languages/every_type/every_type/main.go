// tests/guests/every_type in Go.
package main

import (
	"strconv"
	"strings"

	"flowloom"
)

const (
	ttl    = 1
	timeMs = 6
	srcIP  = 7
)

type State struct {
	syn     bool
	sum     int64
	peers   string
	last    []byte
	packets []float64
}

type EveryType struct{}

func (EveryType) Open(*flowloom.Options, flowloom.Available) (flowloom.Manifest, error) {
	return flowloom.Manifest{
		Version:      "0.1.0",
		Description:  "An output of every type.",
		Packet:       []string{"syn", "ttl", "dst_port", "tcp_flags", "direction", "tcp_seq", "time_ms", "src_ip"},
		AtInit:       []string{"id", "dst_ip"},
		AtUpdate:     []string{"bidirectional_packets"},
		AtExpire:     []string{"expiration_id", "bidirectional_mean_ps", "splt_ps"},
		PayloadBytes: 8,
		PacketBytes:  20,
		Outputs: []flowloom.Output{
			{Name: "syn", Type: flowloom.Boolean},
			{Name: "sum", Type: flowloom.Integer},
			{Name: "mean", Type: flowloom.Float},
			{Name: "peers", Type: flowloom.Text},
			{Name: "last", Type: flowloom.Bytes},
			{Name: "sizes", Type: flowloom.Integers},
			{Name: "packets", Type: flowloom.Floats},
			{Name: "letters", Type: flowloom.Texts},
			{Name: "reason", Type: flowloom.JSON},
		},
	}, nil
}

func (EveryType) Init(state *State, packet, flow flowloom.Row) {
	state.syn = packet.Unsigned(0) == 1
	state.sum = int64(flow.Unsigned(0))
	state.peers = string(flow.Text(1))
	see(state, packet)
}

func (EveryType) Update(state *State, packet, flow flowloom.Row) {
	state.packets = append(state.packets, float64(flow.Unsigned(0)))
	see(state, packet)
}

func (EveryType) Expire(state *State, flow flowloom.Row, outputs *flowloom.Outputs) {
	updates := len(state.packets)
	if updates%2 == 0 {
		outputs.SetBoolean(0, state.syn)
	}
	outputs.SetInteger(1, state.sum)
	if mean := flow.Float(1); mean > 100 {
		outputs.SetFloat(2, mean)
	}
	outputs.SetText(3, state.peers)
	if updates != 1 {
		outputs.SetBytes(4, state.last)
	}
	outputs.SetIntegers(5, flow.List(2))
	if updates > 0 {
		outputs.SetFloats(6, state.packets)
	}
	if updates > 0 {
		var letters []string
		for _, peer := range strings.Split(state.peers, " ") {
			letters = append(letters, peer[:1])
		}
		outputs.SetTexts(7, letters)
	}
	outputs.SetJSON(8, `{"ü":`+strconv.FormatInt(flow.Signed(0), 10)+`}`)
}

func (EveryType) Finish() {}

func see(state *State, packet flowloom.Row) {
	state.sum %= 1 << 40
	for field := ttl; field <= timeMs; field++ {
		state.sum += int64(packet.Unsigned(field))
	}
	if len(state.packets) < 3 {
		state.peers += " " + string(packet.Text(srcIP))
	}
	state.last = append(append([]byte(nil), packet.Payload()...), packet.Bytes()...)
}

func init() { flowloom.Export(EveryType{}) }

func main() {}
