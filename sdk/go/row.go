package flowloom

import "unsafe"

// A Row contains the fields of a packet or of a flow at one event. Read a field by its index in the
// manifest's list. Reading it as another type panics. Texts, lists and bytes are valid until your method
// returns; copy the ones that you keep.
type Row struct {
	columns        []column
	row            uint32
	payload, bytes *optionColumn
}

// Unsigned returns a boolean or an unsigned integer.
func (r Row) Unsigned(field int) uint64 {
	if uint(field) >= uint(len(r.columns)) {
		r.wrongField(field, "")
	}
	c := &r.columns[field]
	switch c.tag {
	case u8s:
		return uint64(view[uint8](c.values)[r.row])
	case u16s:
		return uint64(view[uint16](c.values)[r.row])
	case u32s:
		return uint64(view[uint32](c.values)[r.row])
	case u64s:
		return view[uint64](c.values)[r.row]
	case anyInteger:
		if value := view[int64](c.values)[r.row]; value >= 0 {
			return uint64(value)
		}
	}
	r.wrongField(field, "an unsigned integer")
	return 0
}

// Signed returns a signed integer.
func (r Row) Signed(field int) int64 {
	if uint(field) < uint(len(r.columns)) {
		if c := &r.columns[field]; c.tag == anyInteger {
			return view[int64](c.values)[r.row]
		}
	}
	return view[int64](r.column(field, s64s, "a signed integer").values)[r.row]
}

// Float returns a float.
func (r Row) Float(field int) float64 {
	return view[float64](r.column(field, f64s, "a float").values)[r.row]
}

// Text returns a text. A field that is a list of texts is one text, with a line feed between its elements.
func (r Row) Text(field int) []byte { return run[byte](r.column(field, texts, "a text"), r.row) }

// List returns a list of integers.
func (r Row) List(field int) []int64 {
	return run[int64](r.column(field, integerLists, "a list of integers"), r.row)
}

// Payload returns the first PayloadBytes bytes of the packet's transport payload, or fewer.
func (r Row) Payload() []byte { return r.payload.at(r.row) }

// Bytes returns the first PacketBytes bytes of the packet, from its IP header on, or fewer.
func (r Row) Bytes() []byte { return r.bytes.at(r.row) }

// column returns the column of a field, which must have this tag. read is the type that the plugin reads.
func (r Row) column(field int, tag uint8, read string) *column {
	if uint(field) >= uint(len(r.columns)) || r.columns[field].tag != tag {
		r.wrongField(field, read)
	}
	return &r.columns[field]
}

// The memory layouts of the contract (wit/batch-feature.wit). The memory has 32-bit addresses, but Go's
// pointers have 64 bits.

const (
	u8s = iota
	u16s
	u32s
	u64s
	s64s
	f64s
	texts
	integerLists
)

// Tags that the contract does not have, for columns of a single event.
const (
	anyInteger = 254 + iota // one integer; a single event does not tell its width
	unreadable
)

type list struct{ address, length uint32 }

type column struct {
	tag    uint8
	values list
	ends   list // only for texts and lists
}

type optionColumn struct {
	isSome uint8
	column column
}

type batch struct {
	kinds                    list
	slots                    column
	packets                  list
	bytes, payload           optionColumn
	opened, updated, expired list
}

// view returns the elements of a list without a copy.
func view[T any](l list) []T {
	if l.length == 0 {
		return nil
	}
	return unsafe.Slice((*T)(address(l.address)), l.length)
}

// address returns a pointer to memory that the host wrote. It is inside the arena.
func address(at uint32) unsafe.Pointer {
	place := uintptr(at)
	return *(*unsafe.Pointer)(unsafe.Pointer(&place))
}

func run[T any](c *column, row uint32) []T {
	ends := view[uint32](c.ends)
	start := uint32(0)
	if row > 0 {
		start = ends[row-1]
	}
	return view[T](c.values)[start:ends[row]]
}

func (o *optionColumn) at(row uint32) []byte {
	if o == nil || o.isSome == 0 {
		return nil
	}
	return run[byte](&o.column, row)
}
