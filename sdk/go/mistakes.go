package flowloom

import (
	"strconv"
	"strings"
)

// This file explains the mistakes of a plugin's author. Its texts are those of panics.

// An event is one that the SDK passes to the plugin.
type event uint8

const (
	openEvent event = iota
	initEvent
	updateEvent
	expireEvent
	finishEvent
)

func (e event) String() string {
	return [...]string{"Open", "Init", "Update", "Expire", "Finish"}[e]
}

// running is the event that runs.
var running event

// opened is the manifest of the plugin.
var opened Manifest

// A mistake is the value of a panic whose text explains a mistake of the author.
type mistake string

func (m mistake) Error() string { return string(m) }

// indexed returns names with their indexes.
func indexed(names []string) string {
	texts := make([]string, len(names))
	for n, name := range names {
		texts[n] = "`" + name + "` (" + strconv.Itoa(n) + ")"
	}
	return strings.Join(texts, ", ")
}

// wrongField panics: the field was not requested, or has another type than the one that the plugin read.
func (r Row) wrongField(field int, read string) {
	kind, list, names := "flow", "AtExpire", opened.AtExpire
	switch {
	case r.payload != nil: // only the rows of packets have it
		kind, list, names = "packet", "Packet", opened.Packet
	case running == initEvent:
		list, names = "AtInit", opened.AtInit
	case running == updateEvent:
		list, names = "AtUpdate", opened.AtUpdate
	}
	index := strconv.Itoa(field)
	if field >= 0 && field < len(r.columns) {
		panic(mistake(running.String() + " read " + kind + " field `" + names[field] + "` (" + index + " in `" + list +
			"`) as " + read + ", but it is " + r.columns[field].typeName()))
	}
	requested := "no field"
	if len(names) > 0 {
		requested = indexed(names)
	}
	panic(mistake(running.String() + " read " + kind + " field " + index + ", but `" + list +
		"` of the manifest requests " + requested + "; add the name of the field to `" + list + "`"))
}

func (c *column) typeName() string {
	switch c.tag {
	case u8s:
		return "an unsigned integer or a boolean"
	case s64s:
		return "a signed integer"
	case f64s:
		return "a float"
	case texts:
		return "a text"
	case integerLists:
		return "a list of integers"
	case anyInteger:
		if view[int64](c.values)[0] < 0 {
			return "a negative integer"
		}
		return "an integer"
	}
	return "an unsigned integer"
}

// typeNames are the names of the types, in their order.
var typeNames = [...]string{"boolean", "integer", "float", "text", "bytes", "integers", "floats", "texts", "json"}

// wrongOutput is the value of a panic: output n is not declared, has another type than the one that the plugin set, or
// is already set. The text is made later, so that the compiler can inline Outputs.set.
type wrongOutput struct {
	outputs *Outputs
	n       int
	set     Type
}

func (w wrongOutput) Error() string {
	declared := w.outputs.declared
	if w.n < 0 || w.n >= len(declared) {
		names := make([]string, len(declared))
		for n, output := range declared {
			names[n] = output.Name
		}
		known := "no outputs"
		if len(names) > 0 {
			known = indexed(names)
		}
		return running.String() + " set output " + strconv.Itoa(w.n) + ", but the manifest declares " + known
	}
	output := declared[w.n]
	if output.Type != w.set {
		return running.String() + " set output `" + output.Name + "` to a value of type " + typeNames[w.set] +
			", but the manifest declares it as " + typeNames[output.Type]
	}
	return running.String() + " set output `" + output.Name + "` twice for one flow"
}
