// Calls the functions of the plugin for single events. The fields of an event are columns of one row: their
// memory is the record of the packet, or the values of the event.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef exports_flowloom_plugin_feature_packet_t record;
typedef exports_flowloom_plugin_feature_values_t event_values;
typedef exports_flowloom_plugin_feature_verdict_t verdict;
typedef exports_flowloom_plugin_batch_feature_option_column_t option_column;

enum {
  U8S = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U8S,
  U16S = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U16S,
  U32S = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U32S,
  U64S = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U64S,
  F64S = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_F64S,
  TEXTS = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_TEXTS,
  INTEGER_LISTS = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_INTEGER_LISTS,
  UNREADABLE = EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_PACKED, // no function reads this column
};

// The packet of the event, and its single TCP flags.
static record packet_record;
static uint8_t flags[8];
static bool has_flags; // whether the plugin requested a single flag

// The packet fields that `packet_record` contains.
static const struct {
  const char *name;
  uint8_t tag;
  void *place;
} IN_RECORD[] = {
    {"time_ns", U64S, &packet_record.time_ns},
    {"delta_time_ms", U64S, &packet_record.delta_time_ms},
    {"direction", U8S, &packet_record.direction},
    {"raw_size", U32S, &packet_record.raw_size},
    {"ip_size", U32S, &packet_record.ip_size},
    {"transport_size", U32S, &packet_record.transport_size},
    {"payload_size", U32S, &packet_record.payload_size},
    {"src_port", U16S, &packet_record.src_port},
    {"dst_port", U16S, &packet_record.dst_port},
    {"protocol", U8S, &packet_record.protocol},
    {"tcp_flags", U8S, &packet_record.tcp_flags},
};

// The packet fields of the single flags, from the lowest bit of tcp_flags on.
static const char *const FLAGS[8] = {"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};

// The column for a value of an event.
typedef struct {
  flowloom_column_of_rows *column;
  uint32_t end; // the end of a text or list, to which the column points
} place;

// The columns of an event. They have a place for each value, in the order of the values.
typedef struct {
  place *places;
  size_t size;
} event_places;

static option_column packet_bytes, payload;
static flowloom_packet packet_row;
static flowloom_flow opened, updated, expired;
static event_places at_init, at_update, at_expire;

// Finds where each field of an event is

static flowloom_row row_of(const char *const *names) {
  size_t size = 0;
  while (names && names[size]) size++;
  flowloom_row row = {flowloom_allocate(size, sizeof *row.columns), size, 0, NULL, NULL};
  return row;
}

static void add_place(event_places *places, const flowloom_column_of_rows *column) {
  places->places[places->size++].column = (flowloom_column_of_rows *)column;
}

// Points the column to the packet's record, if the record contains the field.
static void point_to_record(const char *name, flowloom_column_of_rows *column) {
  for (size_t n = 0; n < sizeof IN_RECORD / sizeof *IN_RECORD; n++) {
    if (strcmp(IN_RECORD[n].name, name) != 0) continue;
    column->tag = IN_RECORD[n].tag;
    column->val.u8s.ptr = IN_RECORD[n].place;
  }
  for (size_t bit = 0; bit < sizeof flags; bit++) {
    if (strcmp(FLAGS[bit], name) != 0) continue;
    column->tag = U8S;
    column->val.u8s.ptr = &flags[bit];
    has_flags = true;
  }
}

static event_places places_of(bool has_packet, const flowloom_flow *flow) {
  size_t most = packet_row.n_columns + 2 + flow->n_columns;
  event_places places = {flowloom_allocate(most, sizeof *places.places), 0};
  for (size_t n = 0; has_packet && n < packet_row.n_columns; n++)
    if (!packet_row.columns[n].val.u8s.ptr) add_place(&places, &packet_row.columns[n]);
  if (has_packet && packet_bytes.is_some) add_place(&places, &packet_bytes.val);
  if (has_packet && payload.is_some) add_place(&places, &payload.val);
  for (size_t n = 0; n < flow->n_columns; n++) add_place(&places, &flow->columns[n]);
  return places;
}

void flowloom_prepare_events(void) {
  const flowloom_manifest *manifest = &flowloom_opened;
  packet_row = row_of(manifest->packet);
  for (size_t n = 0; n < packet_row.n_columns; n++)
    point_to_record(manifest->packet[n], (flowloom_column_of_rows *)&packet_row.columns[n]);
  packet_bytes.is_some = manifest->packet_bytes > 0;
  payload.is_some = manifest->payload_bytes > 0;
  packet_row.bytes = &packet_bytes;
  packet_row.payload = &payload;
  opened = row_of(manifest->at_init);
  updated = row_of(manifest->at_update);
  expired = row_of(manifest->at_expire);
  at_init = places_of(true, &opened);
  at_update = places_of(true, &updated);
  at_expire = places_of(false, &expired);
}

// Reads the fields of an event

static void put_text(place *to, uint8_t *bytes, size_t size) {
  to->end = (uint32_t)size;
  to->column->tag = TEXTS;
  to->column->val.texts.bytes.ptr = bytes;
  to->column->val.texts.bytes.len = size;
  to->column->val.texts.ends.ptr = &to->end;
  to->column->val.texts.ends.len = 1;
}

static void put(place *to, flowloom_value *value) {
  flowloom_column_of_rows *column = to->column;
  switch (value->tag) {
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_BOOLEAN:
    column->tag = U8S;
    column->val.u8s.ptr = (uint8_t *)&value->val.boolean;
    break;
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_INTEGER:
    column->tag = FLOWLOOM_COLUMN_INTEGER;
    column->val.s64s.ptr = &value->val.integer;
    break;
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_FLOAT:
    column->tag = F64S;
    column->val.f64s.ptr = &value->val.float_;
    break;
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_TEXT:
    put_text(to, value->val.text.ptr, value->val.text.len);
    break;
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_BYTES:
    put_text(to, value->val.bytes.ptr, value->val.bytes.len);
    break;
  case EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUE_INTEGERS:
    to->end = (uint32_t)value->val.integers.len;
    column->tag = INTEGER_LISTS;
    column->val.integer_lists.values = value->val.integers;
    column->val.integer_lists.ends.ptr = &to->end;
    column->val.integer_lists.ends.len = 1;
    break;
  default: column->tag = UNREADABLE;
  }
}

static void read_values(event_values *values, event_places *to) {
  size_t size = 0;
  if (values->tag == EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUES_BYTES) size = 1;
  if (values->tag == EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUES_LISTED) size = values->val.listed.len;
  if (size != to->size)
    flowloom_stop("Flowloom gave ", flowloom_integer_text((int64_t)size),
                  " values for an event, but the plugin requested ",
                  flowloom_integer_text((int64_t)to->size), NULL);
  if (values->tag == EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VALUES_BYTES) {
    put_text(&to->places[0], values->val.bytes.ptr, values->val.bytes.len);
    return;
  }
  for (size_t n = 0; n < size; n++) put(&to->places[n], &values->val.listed.ptr[n]);
}

static void read_packet(const record *packet, event_values *values, event_places *to) {
  packet_record = *packet;
  if (has_flags)
    for (size_t bit = 0; bit < sizeof flags; bit++) flags[bit] = packet->tcp_flags >> bit & 1;
  read_values(values, to);
}

// Events

static verdict verdict_of(const void *state) {
  return flowloom_opened.cuts_flows && flowloom_cuts(state) ? EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VERDICT_CUT
                                                            : EXPORTS_FLOWLOOM_PLUGIN_FEATURE_VERDICT_KEEP;
}

verdict exports_flowloom_plugin_feature_init(uint64_t flow, record *packet, event_values *values) {
  flowloom_running = "init";
  void *state = flowloom_state_for_id(flow);
  read_packet(packet, values, &at_init);
  flowloom_init(state, &packet_row, &opened);
  exports_flowloom_plugin_feature_values_free(values);
  return verdict_of(state);
}

verdict exports_flowloom_plugin_feature_update(uint64_t flow, record *packet, event_values *values) {
  flowloom_running = "update";
  void *state = flowloom_state_of_id(flow);
  read_packet(packet, values, &at_update);
  flowloom_update(state, &packet_row, &updated);
  exports_flowloom_plugin_feature_values_free(values);
  return verdict_of(state);
}

void exports_flowloom_plugin_feature_expire(uint64_t flow, event_values *values,
                                            exports_flowloom_plugin_feature_list_value_t *answer) {
  flowloom_running = "expire";
  void *state = flowloom_state_of_id(flow);
  flowloom_outputs outputs;
  read_values(values, &at_expire);
  flowloom_begin_values(&outputs);
  flowloom_expire(state, &expired, &outputs);
  flowloom_remove_id(flow);
  exports_flowloom_plugin_feature_values_free(values);
  answer->ptr = outputs.values;
  answer->len = flowloom_opened.n_outputs;
}
