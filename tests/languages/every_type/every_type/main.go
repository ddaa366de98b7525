// tests/guests/every_type in Go.
package main

import (
	"errors"
	"math"
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

type EveryType struct {
	add, cuts int64
	factor    float64
	negate    bool
	name      string
	flows     int
}

func (p *EveryType) Open(options *flowloom.Options, _ flowloom.Available) (flowloom.Manifest, error) {
	const max = math.MaxUint32
	var errs [5]error
	var most int64
	p.add, errs[0] = options.Integer("add", "Added to `sum`.", 0, 0, max)
	p.factor, errs[1] = options.Float("factor", "Factor of `mean`.", 1, math.Inf(-1), math.Inf(1))
	p.negate, errs[2] = options.Boolean("negate", "Whether `syn` is negated.", false)
	p.name = options.Text("name", "Text before `peers`.", "", "a text")
	p.cuts, errs[3] = options.Integer("cuts", "Packets after which a flow ends.", 0, 0, max)
	most, errs[4] = options.Integer("most", "Packets of a flow to count.", 0, 0, max)
	return flowloom.Manifest{
		Version:      "0.1.0",
		Description:  "An output of every type.",
		Packet:       []string{"syn", "ttl", "dst_port", "tcp_flags", "direction", "tcp_seq", "time_ms", "src_ip"},
		AtInit:       []string{"id", "dst_ip"},
		AtUpdate:     []string{"bidirectional_packets"},
		AtExpire:     []string{"expiration_id", "bidirectional_mean_ps", "splt_ps"},
		PayloadBytes: 8,
		PacketBytes:  20,

		PacketsPerFlow: uint32(most),
		CutsFlows:      p.cuts > 0,
		NeedsOneMeter:  p.name != "",
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
	}, errors.Join(errs[:]...)
}

func (p *EveryType) Init(state *State, packet, flow flowloom.Row) {
	state.syn = packet.Unsigned(0) == 1
	state.sum = int64(flow.Unsigned(0))
	state.peers = string(flow.Text(1))
	see(state, packet)
}

func (p *EveryType) Update(state *State, packet, flow flowloom.Row) {
	state.packets = append(state.packets, float64(flow.Unsigned(0)))
	see(state, packet)
}

func (p *EveryType) Cuts(state *State) bool { return int64(len(state.packets))+1 >= p.cuts }

func (p *EveryType) Expire(state *State, flow flowloom.Row, outputs *flowloom.Outputs) {
	updates := len(state.packets)
	p.flows++
	if updates%2 == 0 {
		outputs.SetBoolean(0, state.syn != p.negate)
	}
	outputs.SetInteger(1, state.sum+p.add)
	if mean := flow.Float(1); mean > 100 {
		outputs.SetFloat(2, mean*p.factor)
	}
	outputs.SetText(3, p.name+state.peers)
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

func (p *EveryType) Finish() {
	if p.name == "" {
		return
	}
	line := p.name + ": " + strconv.Itoa(p.flows) + " flows"
	for _, level := range []flowloom.Level{flowloom.Error, flowloom.Warn, flowloom.Info, flowloom.Debug} {
		flowloom.Log(level, line)
	}
}

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

func init() { flowloom.Export(&EveryType{}) }

func main() {}
