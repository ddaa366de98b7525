// The first HTTP/1 request and response of a flow.
//
// A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
// left out.
package main

import (
	"bytes"
	"strconv"
	"strings"

	"flowloom"
)

// Indexes of the outputs, in the order of the manifest's list.
const (
	method = iota
	host
	status
	userAgent
)

const maxText = 255

// State is the state of a flow. Without a value, texts are empty, and the status is -1.
type State struct {
	method, host, userAgent string
	status                  int
}

// HTTP is the plugin; it has no data of its own.
type HTTP struct{}

func (p *HTTP) Open(options *flowloom.Options, available flowloom.Available) (flowloom.Manifest, error) {
	return flowloom.Manifest{
		Version:        "0.1.0",
		Description:    "The first HTTP/1 request and response of a flow.",
		PayloadBytes:   1500,
		PacketsPerFlow: 50,
		AllocatedBytes: 3 * maxText,
		Outputs: []flowloom.Output{
			{Name: "method", Type: flowloom.Text, Description: "Method of the first request."},
			{Name: "host", Type: flowloom.Text, Description: "Header `Host` of the first request."},
			{Name: "status", Type: flowloom.Integer, Description: "Status code of the first response."},
			{Name: "user_agent", Type: flowloom.Text, Description: "Header `User-Agent` of the first request."},
		},
	}, nil
}

func (p *HTTP) Init(state *State, packet, flow flowloom.Row) {
	state.status = -1
	p.Update(state, packet, flow)
}

func (p *HTTP) Update(state *State, packet, _ flowloom.Row) {
	payload := packet.Payload()
	if state.status < 0 && bytes.HasPrefix(payload, []byte("HTTP/1.")) {
		// `HTTP/1.1 200 OK`
		if len(payload) >= 12 && payload[8] == ' ' {
			if code, err := strconv.ParseUint(string(payload[9:12]), 10, 16); err == nil {
				state.status = int(code)
			}
		}
	} else if state.method == "" {
		readRequest(state, payload)
	}
}

func (p *HTTP) Expire(state *State, _ flowloom.Row, outputs *flowloom.Outputs) {
	setText(outputs, method, state.method)
	setText(outputs, host, state.host)
	if state.status >= 0 {
		outputs.SetInteger(status, int64(state.status))
	}
	setText(outputs, userAgent, state.userAgent)
}

func (p *HTTP) Finish() {}

func readRequest(state *State, payload []byte) {
	lines := bytes.Split(payload, []byte("\n"))
	lines = lines[:len(lines)-1] // the part after the last line feed is not a complete line
	for n, line := range lines {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if n == 0 {
			// `GET / HTTP/1.1`
			word, rest, _ := bytes.Cut(line, []byte(" "))
			other := bytes.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")
			if len(word) == 0 || len(other) > 0 || len(rest) < 10 || !bytes.HasPrefix(rest[len(rest)-9:], []byte(" HTTP/1.")) {
				return
			}
			state.method = text(word)
			continue
		}
		if len(line) == 0 {
			return
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch strings.ToLower(string(name)) {
		case "host":
			setOnce(&state.host, value)
		case "user-agent":
			setOnce(&state.userAgent, value)
		}
	}
}

// setOnce sets a header that is not yet set.
func setOnce(header *string, value []byte) {
	if *header == "" {
		*header = text(bytes.Trim(value, " \t"))
	}
}

// text returns the data as text.
func text(data []byte) string {
	printable := bytes.Clone(data[:min(len(data), maxText)])
	for n, b := range printable {
		if b < 32 || b >= 127 {
			printable[n] = '?'
		}
	}
	return string(printable)
}

// setText sets an output; an empty text is null.
func setText(outputs *flowloom.Outputs, output int, text string) {
	if text != "" {
		outputs.SetText(output, text)
	}
}

func init() { flowloom.Export(&HTTP{}) }

func main() {}
