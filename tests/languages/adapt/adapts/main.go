// Has an option of every type, and requests what is available. adapt.py builds it.
package main

import (
	"errors"
	"math"
	"strconv"

	"flowloom"
)

const mostBytes = 16

// State contains the largest numbers of bytes.
type State struct {
	payload, bytes int
}

// Adapts is the plugin.
type Adapts struct {
	read      []string
	requested []string
}

func (p *Adapts) Open(options *flowloom.Options, available flowloom.Available) (flowloom.Manifest, error) {
	count, wrongCount := options.Integer("count", "A number of things.", 3, 1, 9)
	share, wrongShare := options.Float("share", "A share.", 0, math.Inf(-1), math.Inf(1))
	missing := options.Require("share")
	all, wrongAll := options.Boolean("all", "Whether all count.", false)
	name := options.Text("name", "A name.", "", "a text")
	if len(available.Packet) == 0 {
		return flowloom.Manifest{}, errors.New("no packet fields are available")
	}
	words := map[bool]string{false: "False", true: "True"}
	if name == "" {
		name = "None"
	}
	p.read = []string{strconv.FormatInt(count, 10), strconv.FormatFloat(share, 'g', -1, 64), words[all], name}
	manifest := flowloom.Manifest{
		Version:        "0.1.0",
		Description:    "Requests what is available.",
		PayloadBytes:   min(available.PayloadBytes, mostBytes),
		PacketBytes:    min(available.PacketBytes, mostBytes),
		AllocatedBytes: 476,
		Outputs: []flowloom.Output{
			{Name: "values", Type: flowloom.Texts, Description: "The options, and the fields that were requested."},
		},
	}
	for _, field := range []string{"ttl", "src_ip"} {
		if available.HasPacketField(field) {
			manifest.Packet = append(manifest.Packet, field)
		}
	}
	for _, field := range []string{"dst_port", "application_name", "bidirectional_mean_ps"} {
		if available.HasFlowField(field) {
			manifest.AtExpire = append(manifest.AtExpire, field)
		}
	}
	p.requested = manifest.AtExpire
	for _, err := range []error{wrongCount, wrongShare, missing, wrongAll} {
		if err != nil {
			return manifest, err
		}
	}
	return manifest, nil
}

func (p *Adapts) Init(state *State, packet, flow flowloom.Row) { p.Update(state, packet, flow) }

func (p *Adapts) Update(state *State, packet, _ flowloom.Row) {
	state.payload = max(state.payload, len(packet.Payload()))
	state.bytes = max(state.bytes, len(packet.Bytes()))
}

func (p *Adapts) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	if p.read[3] == "wrong" {
		outputs.SetText(0, "a text")
	}
	texts := append([]string{}, p.read...)
	texts = append(texts, strconv.Itoa(state.payload), strconv.Itoa(state.bytes))
	outputs.SetTexts(0, append(texts, p.requested...))
}

func (p *Adapts) Finish() {}

func init() { flowloom.Export(&Adapts{}) }

func main() {}
