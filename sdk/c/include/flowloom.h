// Flowloom's plugin interface for C and C++. Implement the functions at the end of this file, and
// build the plugin with sdk/c/build.sh.
//
// Flowloom calls the plugin with columns of events, about a thousand events per call, or with one event per
// call if the plugin cuts flows. The SDK calls your functions once per event in both cases.
#ifndef FLOWLOOM_H
#define FLOWLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../generated/dual_plugin.h"

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
  FLOWLOOM_BYTES, // text formats write them in hexadecimal
  FLOWLOOM_INTEGERS,
  FLOWLOOM_FLOATS,
  FLOWLOOM_TEXTS, // UTF-8
  FLOWLOOM_JSON,  // UTF-8 that is one JSON value
} flowloom_type;

// One column that a plugin adds to every flow.
typedef struct flowloom_output {
  const char *name;        // [a-z][a-z0-9_]{0,31}
  flowloom_type type;
  const char *description; // one sentence for people, with the unit of the value
} flowloom_output;

// The columns that a plugin adds and the data that it requests. flowloom_open fills it in. Members that
// it does not set are zero and request nothing. Lists of names end with NULL; `flowloom fields` prints
// the names. Pointers must remain valid after flowloom_open returns.
typedef struct flowloom_manifest {
  const char *version;
  const char *description;        // one sentence for people that describes what the plugin computes
  const flowloom_output *outputs; // at most 128; flowloom_set_… uses their indexes
  size_t n_outputs;
  const char *const *packet;      // packet fields
  const char *const *at_init;     // flow fields at the first packet
  const char *const *at_update;   // flow fields at every later packet; they cost time for every packet
  const char *const *at_expire;   // flow fields at the end of the flow
  uint32_t payload_bytes;         // number of bytes of each packet's transport payload
  uint32_t packet_bytes;          // number of bytes of each packet, from its IP header on
  uint32_t packets_per_flow;      // no update after this number of packets of a flow; 0 is no limit
  bool cuts_flows;                // the plugin ends flows with flowloom_cuts; an event then costs more
  bool needs_one_meter;           // the plugin keeps state across flows; the run has one meter
  size_t state_size;              // bytes of state per flow
  size_t allocated_bytes;         // bytes that your functions allocate for the state of a flow
} flowloom_manifest;

// What the plugin may request in this run: fields that exist and that the operator granted. Flowloom
// rejects a plugin that requests anything else. Valid until flowloom_open returns; the lists of the
// manifest may point to the same names.
typedef struct flowloom_available {
  const char *const *packet; // names of packet fields; the list ends with NULL
  const char *const *flow;   // names of flow fields; the list ends with NULL
  uint32_t payload_bytes;    // the maximum of payload_bytes; 0 if no payload was granted
  uint32_t packet_bytes;     // the maximum of packet_bytes; 0 if no bytes of packets were granted
} flowloom_available;

// Bytes, or text without a terminating NUL. Valid until your function returns.
typedef struct flowloom_bytes {
  const uint8_t *data;
  size_t size;
} flowloom_bytes;

// Integers. Valid until your function returns.
typedef struct flowloom_integers {
  const int64_t *data;
  size_t size;
} flowloom_integers;

// The fields of a packet or of a flow at one event. Read them with flowloom_unsigned, flowloom_text etc.
typedef struct flowloom_row {
  const exports_flowloom_plugin_batch_feature_column_t *columns;
  size_t n_columns;
  size_t row;
  const exports_flowloom_plugin_batch_feature_option_column_t *payload;
  const exports_flowloom_plugin_batch_feature_option_column_t *bytes;
} flowloom_row;

typedef flowloom_row flowloom_packet;
typedef flowloom_row flowloom_flow;

// The options that the operator gave.
typedef struct flowloom_options flowloom_options;

// The outputs of the flow that ends. Outputs that are not set are null.
typedef struct flowloom_outputs flowloom_outputs;

// The severity of a line in Flowloom's log.
typedef enum flowloom_level {
  FLOWLOOM_ERROR,
  FLOWLOOM_WARN,
  FLOWLOOM_INFO,
  FLOWLOOM_DEBUG,
} flowloom_level;

// Writes a line to Flowloom's log.
void flowloom_log(flowloom_level level, const char *line);

// Writes an error to Flowloom's log and traps, which ends this instance of the plugin. The line names the
// event, and the function, file and line of the call. The plugin's values are null for the flows that the
// instance held. The capture continues, and a new instance handles new flows.
#define flowloom_fail(why) flowloom_fail_at(why, __func__, __FILE__, __LINE__)
FLOWLOOM_NORETURN void flowloom_fail_at(const char *why, const char *function, const char *file, int line);

// Concatenates strings. The last argument must be NULL. The result is never freed; use it for the errors
// of flowloom_open.
const char *flowloom_join(const char *first, ...);

// The four functions flowloom_…_option read an option from `options` into `value`, and describe it to the
// operator. `value` contains the default; it is unchanged if the operator does not give the option. The
// functions return NULL, or an error that flowloom_open must return. An option that flowloom_open does not
// read is an error, which lists all options that it reads.
//
// `key` is [a-z][a-z0-9_]{0,31}. `description` is one sentence for people.

// Reads `true` or `false`.
const char *flowloom_boolean_option(const flowloom_options *options, const char *key,
                                    const char *description, bool *value);

// Reads an integer from `least` to `most`.
const char *flowloom_integer_option(const flowloom_options *options, const char *key, int64_t least,
                                    int64_t most, const char *description, int64_t *value);

// Reads a number from `least` to `most`. -INFINITY and INFINITY are no limits.
const char *flowloom_float_option(const flowloom_options *options, const char *key, double least,
                                  double most, const char *description, double *value);

// Reads a text. The default may be NULL: the option is then optional. `accepts` describes the accepted
// texts, for example "`bytes` or `packets`"; the function does not check them. The text is never freed.
const char *flowloom_text_option(const flowloom_options *options, const char *key, const char *accepts,
                                 const char *description, const char **value);

// Makes an option required. Call it after the option was read; the default then does not count. Returns
// NULL, or an error that flowloom_open must return if the operator did not give the option.
const char *flowloom_require(const flowloom_options *options, const char *key);

// Returns whether the plugin may request this packet field or flow field.
bool flowloom_has_packet_field(const flowloom_available *available, const char *name);
bool flowloom_has_flow_field(const flowloom_available *available, const char *name);

// Sets output n of the flow, counted from 0. The instance ends with an error if the output is already set
// or was declared with another type. Texts and bytes are copied.
void flowloom_set_boolean(flowloom_outputs *outputs, size_t n, bool value);
void flowloom_set_integer(flowloom_outputs *outputs, size_t n, int64_t value);
void flowloom_set_float(flowloom_outputs *outputs, size_t n, double value);
void flowloom_set_text(flowloom_outputs *outputs, size_t n, const char *text, size_t size);
void flowloom_set_bytes(flowloom_outputs *outputs, size_t n, const void *data, size_t size);
void flowloom_set_integers(flowloom_outputs *outputs, size_t n, const int64_t *data, size_t size);
void flowloom_set_floats(flowloom_outputs *outputs, size_t n, const double *data, size_t size);
void flowloom_set_texts(flowloom_outputs *outputs, size_t n, const flowloom_bytes *texts, size_t size);
void flowloom_set_json(flowloom_outputs *outputs, size_t n, const char *text, size_t size);

// Ends the instance with an error: the field was not requested, or has another type than `type`.
FLOWLOOM_NORETURN void flowloom_wrong_field(const flowloom_row *row, size_t field, const char *type);

// The tag of a column with one integer of any width: a single event does not tell the width.
#define FLOWLOOM_COLUMN_INTEGER 255

// Returns the integer of a column with this tag. Ends the instance with an error if the column has another
// tag, or if the integer is negative and `is_signed` is false.
int64_t flowloom_any_integer(const flowloom_row *row, size_t field, bool is_signed);

static inline const exports_flowloom_plugin_batch_feature_column_t *
flowloom_column(const flowloom_row *row, size_t field) {
  if (field >= row->n_columns) flowloom_wrong_field(row, field, NULL);
  return &row->columns[field];
}

// Returns a boolean or an unsigned integer. `field` is the index in the list of requested fields, here
// and in the functions below.
static inline uint64_t flowloom_unsigned(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  switch (column->tag) {
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U8S: return column->val.u8s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U16S: return column->val.u16s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U32S: return column->val.u32s.ptr[row->row];
  case EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_U64S: return column->val.u64s.ptr[row->row];
  default: return (uint64_t)flowloom_any_integer(row, field, false);
  }
}

// Returns a signed integer (expiration_id).
static inline int64_t flowloom_signed(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_S64S)
    return flowloom_any_integer(row, field, true);
  return column->val.s64s.ptr[row->row];
}

// Returns a float.
static inline double flowloom_float(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_F64S)
    flowloom_wrong_field(row, field, "a float");
  return column->val.f64s.ptr[row->row];
}

static inline flowloom_bytes
flowloom_text_of(const exports_flowloom_plugin_batch_feature_texts_t *texts, size_t row) {
  size_t from = row == 0 ? 0 : texts->ends.ptr[row - 1];
  flowloom_bytes bytes = {texts->bytes.ptr + from, texts->ends.ptr[row] - from};
  return bytes;
}

// Returns a text. A field that is a list of texts is one text, with a line feed between its elements.
static inline flowloom_bytes flowloom_text(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_TEXTS)
    flowloom_wrong_field(row, field, "a text");
  return flowloom_text_of(&column->val.texts, row->row);
}

// Returns a list of integers (splt_ps).
static inline flowloom_integers flowloom_list(const flowloom_row *row, size_t field) {
  const exports_flowloom_plugin_batch_feature_column_t *column = flowloom_column(row, field);
  if (column->tag != EXPORTS_FLOWLOOM_PLUGIN_BATCH_FEATURE_COLUMN_INTEGER_LISTS)
    flowloom_wrong_field(row, field, "a list of integers");
  const exports_flowloom_plugin_batch_feature_integer_lists_t *lists = &column->val.integer_lists;
  size_t from = row->row == 0 ? 0 : lists->ends.ptr[row->row - 1];
  flowloom_integers integers = {lists->values.ptr + from, lists->ends.ptr[row->row] - from};
  return integers;
}

// Returns the first payload_bytes bytes of the packet's transport payload. There are fewer if the operator
// granted fewer or if the packet was not fully captured.
static inline flowloom_bytes flowloom_payload(const flowloom_packet *packet) {
  flowloom_bytes none = {NULL, 0};
  return packet->payload && packet->payload->is_some
             ? flowloom_text_of(&packet->payload->val.val.texts, packet->row)
             : none;
}

// Returns the first packet_bytes bytes of the packet, from its IP header on. There may be fewer, as in
// flowloom_payload.
static inline flowloom_bytes flowloom_packet_bytes(const flowloom_packet *packet) {
  flowloom_bytes none = {NULL, 0};
  return packet->bytes && packet->bytes->is_some
             ? flowloom_text_of(&packet->bytes->val.val.texts, packet->row)
             : none;
}

// The functions that a plugin implements.

// Fills in the manifest. Called once per instance, before any event. Returns NULL, or an error: Flowloom
// then shows the error to the operator and does not load the plugin. The same options and available fields
// must always give the same manifest.
const char *flowloom_open(const flowloom_options *options, const flowloom_available *available,
                          flowloom_manifest *manifest);

// Handles the first packet of a flow. `state` has state_size bytes, all zero. Its address does not change
// until flowloom_expire returns.
void flowloom_init(void *state, const flowloom_packet *packet, const flowloom_flow *flow);

// Handles a later packet of a flow.
void flowloom_update(void *state, const flowloom_packet *packet, const flowloom_flow *flow);

// Returns whether the flow ends with the packet that the plugin just handled. Called after each init and
// update if the manifest sets cuts_flows; other plugins do not need this function. The expiration_id of a cut
// flow is -1, and the next packet starts a new flow.
bool flowloom_cuts(const void *state);

// Handles the end of a flow. Sets the outputs, and frees the memory to which the state points.
void flowloom_expire(void *state, const flowloom_flow *flow, flowloom_outputs *outputs);

// Handles the end of this instance, after its last flow.
void flowloom_finish(void);

#ifdef __cplusplus
}
#endif
#endif
