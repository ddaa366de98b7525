// Flowloom's plugin interface for C and C++: write the five functions at the end of this file, and
// build them with sdk/c/build.sh.
//
// The interface is called with columns of events, about a thousand a call; src/flowloom.c takes them
// apart and calls your functions event by event, within your plugin's sandbox.
#ifndef FLOWLOOM_H
#define FLOWLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../generated/batch_plugin.h"

#ifdef __cplusplus
extern "C" {
#define FLOWLOOM_NORETURN [[noreturn]]
#else
#define FLOWLOOM_NORETURN _Noreturn
#endif

// The type of an output.
typedef enum flowloom_type {
  FLOWLOOM_BOOLEAN,
  FLOWLOOM_INTEGER,
  FLOWLOOM_FLOAT,
  FLOWLOOM_TEXT,  // UTF-8
  FLOWLOOM_BYTES, // written in hexadecimal
  FLOWLOOM_INTEGERS,
  FLOWLOOM_FLOATS,
  FLOWLOOM_JSON, // UTF-8 that is one JSON value
} flowloom_type;

// One column that a plugin adds to every flow.
typedef struct flowloom_output {
  const char *name;        // [a-z][a-z0-9_]{0,31}
  flowloom_type type;
  const char *description; // one sentence for people, with the unit
} flowloom_output;

// What a plugin adds and what it asks for. flowloom_open fills it in; what it leaves alone is zero,
// and asks for nothing. Lists of names end with NULL; the names are those of `flowloom fields`.
// Everything that it points to has to outlive the call.
typedef struct flowloom_manifest {
  const char *version;
  const char *description;        // one sentence for people: what the plugin computes
  const flowloom_output *outputs; // at most 64, in the order of flowloom_set_…
  size_t n_outputs;
  const char *const *packet;      // fields of each packet
  const char *const *at_init;     // fields of the flow at its first packet
  const char *const *at_update;   // fields of the flow at every later packet: they cost at each
  const char *const *at_expire;   // fields of the flow at its end
  uint32_t payload_bytes;         // so many bytes of each packet's transport payload
  uint32_t packet_bytes;          // so many bytes of each packet from its IP header on
  uint32_t packets_per_flow;      // no update after so many packets of a flow; 0 is no bound
  bool needs_one_meter;           // keeps state across flows
  size_t state_size;              // bytes that it keeps of each flow
} flowloom_manifest;

// Bytes, or text without a NUL at its end. Good until the function that was given them returns.
typedef struct flowloom_bytes {
  const uint8_t *data;
  size_t size;
} flowloom_bytes;

// Integers, good for as long.
typedef struct flowloom_integers {
  const int64_t *data;
  size_t size;
} flowloom_integers;

// The fields of a packet or of a flow at one event, read by flowloom_unsigned and so on.
typedef struct flowloom_row {
  const exports_flowloom_plugin_batch_feature_column_t *columns;
  size_t n_columns;
  size_t row;
  const exports_flowloom_plugin_batch_feature_option_column_t *payload;
  const exports_flowloom_plugin_batch_feature_option_column_t *bytes;
} flowloom_row;

typedef flowloom_row flowloom_packet;
typedef flowloom_row flowloom_flow;

// The operator's options. Those that flowloom_open does not read are errors, which list what it reads.
typedef struct flowloom_options flowloom_options;

// The outputs of the flow that ends; those that are not set are null.
typedef struct flowloom_outputs flowloom_outputs;

// How much a line in Flowloom's log matters.
typedef enum flowloom_level {
  FLOWLOOM_ERROR,
  FLOWLOOM_WARN,
  FLOWLOOM_INFO,
  FLOWLOOM_DEBUG,
} flowloom_level;

// Writes a line to Flowloom's log.
void flowloom_log(flowloom_level level, const char *line);

// Ends this instance of the plugin with an error in Flowloom's log. The values of the flows that it
// held are null; the capture goes on, and a fresh instance serves new flows.
FLOWLOOM_NORETURN void flowloom_fail(const char *why);

// Text pieces joined, the last of which is NULL, in memory that is never freed: for errors of
// flowloom_open.
const char *flowloom_join(const char *first, ...);

// The value of an option, NULL where the operator did not give it.
const char *flowloom_option(const flowloom_options *options, const char *key);

// Reads an option that is an integer into `value`, which keeps what it has where the operator did not
// give it. The answer is an error to be returned by flowloom_open, or NULL.
const char *flowloom_integer_option(const flowloom_options *options, const char *key, int64_t least,
                                    int64_t most, int64_t *value);

// Sets the n-th output of a flow, once. Its type has to be the one declared.
void flowloom_set_boolean(flowloom_outputs *outputs, size_t n, bool value);
void flowloom_set_integer(flowloom_outputs *outputs, size_t n, int64_t value);
void flowloom_set_float(flowloom_outputs *outputs, size_t n, double value);
// For texts, bytes and JSON.
void flowloom_set_bytes(flowloom_outputs *outputs, size_t n, const void *data, size_t size);
void flowloom_set_integers(flowloom_outputs *outputs, size_t n, const int64_t *data, size_t size);
void flowloom_set_floats(flowloom_outputs *outputs, size_t n, const double *data, size_t size);

FLOWLOOM_NORETURN void flowloom_wrong_field(const flowloom_row *row, size_t field);

static inline const exports_flowloom_plugin_batch_feature_column_t *
flowloom_column(const flowloom_row *row, size_t field) {
  if (field >= row->n_columns) flowloom_wrong_field(row, field);
  return &row->columns[field];
}

// The n-th field of those asked for: a boolean or an unsigned integer.
static inline uint64_t flowloom_unsigned(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  switch (column->tag) {
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U8S: return column->val.u8s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U16S: return column->val.u16s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U32S: return column->val.u32s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U64S: return column->val.u64s.ptr[row->row];
  default: flowloom_wrong_field(row, field);
  }
}

// The n-th field: a signed integer (expiration_id).
static inline int64_t flowloom_signed(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_S64S)
    flowloom_wrong_field(row, field);
  return column->val.s64s.ptr[row->row];
}

// The n-th field: a float.
static inline double flowloom_float(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_F64S)
    flowloom_wrong_field(row, field);
  return column->val.f64s.ptr[row->row];
}

static inline flowloom_bytes
flowloom_text_of(const exports_flowloom_plugin_batch_feature_texts_t *texts, size_t row) {
  size_t from = row == 0 ? 0 : texts->ends.ptr[row - 1];
  flowloom_bytes bytes = {texts->bytes.ptr + from, texts->ends.ptr[row] - from};
  return bytes;
}

// The n-th field: a text.
static inline flowloom_bytes flowloom_text(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_TEXTS)
    flowloom_wrong_field(row, field);
  return flowloom_text_of(&column->val.texts, row->row);
}

// The n-th field: a list of integers (splt_ps).
static inline flowloom_integers flowloom_list(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_INTEGER_LISTS)
    flowloom_wrong_field(row, field);
  const exports_flowloom_plugin_batch_feature_integer_lists_t *lists = &column->val.integer_lists;
  size_t from = row->row == 0 ? 0 : lists->ends.ptr[row->row - 1];
  flowloom_integers integers = {lists->values.ptr + from, lists->ends.ptr[row->row] - from};
  return integers;
}

// The first payload_bytes bytes of the packet's transport payload, or as many as were captured and
// granted.
static inline flowloom_bytes flowloom_payload(const flowloom_packet *packet) {
  flowloom_bytes none = {NULL, 0};
  return packet->payload && packet->payload->is_some
             ? flowloom_text_of(&packet->payload->val.val.texts, packet->row)
             : none;
}

// The first packet_bytes bytes of the packet from its IP header on.
static inline flowloom_bytes flowloom_packet_bytes(const flowloom_packet *packet) {
  flowloom_bytes none = {NULL, 0};
  return packet->bytes && packet->bytes->is_some
             ? flowloom_text_of(&packet->bytes->val.val.texts, packet->row)
             : none;
}

// The plugin: five functions that you write.

// Called once, before any event: fills in the manifest. Answers NULL, or an error that the operator
// reads; the plugin is then not loaded. The same options must give the same manifest.
const char *flowloom_open(const flowloom_options *options, flowloom_manifest *manifest);

// The first packet of a flow. `state` has state_size bytes, all zero, and stays where it is until
// flowloom_expire has returned.
void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow);

// A later packet of a flow.
void flowloom_update(void *state, const flowloom_packet *packet, const flowloom_flow *flow);

// The end of a flow: sets the outputs, and frees what the state points to.
void flowloom_expire(void *state, const flowloom_flow *flow, flowloom_outputs *outputs);

// After the last flow of this instance.
void flowloom_finish(void);

#ifdef __cplusplus
}
#endif
#endif
